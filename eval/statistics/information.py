"""How much a test has to know to see an effect: from the normal quantiles alone, without data."""

from __future__ import annotations

from statistics import NormalDist


def needed_information(confidence: float, power: float) -> float:
    """(z_confidence + z_power)^2: one over the squared standard error of an effect of size 1 that shows so often.

    Example: 7.848880 at 0.975, one side of the usual 0.95, with 0.80 power.
    """
    return (NormalDist().inv_cdf(confidence) + NormalDist().inv_cdf(power)) ** 2

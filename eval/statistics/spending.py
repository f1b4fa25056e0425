"""Looking several times at growing data without a larger error: alpha spending, and the bounds that follow from it.

Lan and DeMets 1983 (Biometrika 70, 659-663): of the error alpha so much has been spent by the time that a share t of
the information is in. Their function like O'Brien and Fleming's spends next to nothing early,

    alpha*(t) = 2 - 2 Phi(z_{1 - alpha/2} / sqrt(t)),

so that the last look is almost a single test. Here t counts what was planned, and `EARLY` of the error goes by it; the
rest is spent evenly over what there is beyond the plan, so that who is near the margin may go on until nothing is left.
The bound of look k is that which the path of the test statistic crosses then for the first time with the probability
alpha*(t_k) - alpha*(t_{k-1}); it is found by the recursive integration of Armitage, McPherson and Rowe 1969. Intervals
made with these bounds are repeated confidence intervals (Jennison and Turnbull 1989): all of them together hold the
truth with the confidence that one interval would, whenever one stops, and whatever made one stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

EARLY = 0.5
"""Share of the error that is spent once the planned information is in, where there is more beyond it."""
FARTHEST_Z = 8.0
"""Bounds beyond this are this: nothing crosses them."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(120)
"""Where the density of the paths is followed, between a bound and what no path is below."""


def spent(fraction: float, alpha: float, most: float = 1.0) -> float:
    """Error spent once this share of the planned information is in.

    Args:
        fraction: of the planned information.
        alpha: all the error there is to spend.
        most: what the fraction is when everything that there is has been looked at; nothing is left to spend then.

    Example: `spent(0.5, 0.05)` is 0.005575; `spent(1, 0.05, most=3)` is 0.025 and `spent(2, 0.05, most=3)` 0.0375.
    """
    if not 0 < alpha < 1 or fraction < 0:
        raise ValueError(f"needs an error within 0..1 and a share of at least 0, not {alpha} and {fraction}")
    if fraction == 0:
        return 0.0
    if fraction >= most:
        return alpha
    early = alpha if most <= 1 else EARLY * alpha
    by_the_plan = float(2 * special.ndtr(special.ndtri(early / 2) / math.sqrt(min(fraction, 1.0))))
    return by_the_plan + (alpha - early) * max(0.0, fraction - 1) / (most - 1 if most > 1 else 1)


class Spending:
    """The bounds of one check, look by look, as its data come in.

    Example: five looks of equal size at 0.025 one-sided have the bounds 4.877, 3.357, 2.680, 2.290, 2.031.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.spent = 0.0
        """Of the error, at all looks so far."""
        self.size = 0.0
        """At the last look."""
        self._path = _Path()

    def look(self, fraction: float, size: float, most: float = 1.0) -> float:
        """The one-sided bound of the test statistic z at the next look.

        Args:
            fraction: share of the planned information by now; what the spending goes by.
            size: items by now, or another measure of information; what the correlation between looks goes by.
            most: the share that everything there is would be; both may be estimated anew at every look, since what was
                spent stays spent.

        Raises:
            ValueError: a size that does not rise.
        """
        if size <= self.size:
            raise ValueError(f"looks must grow: from {self.size} to {size}")
        now = max(self.spent, spent(fraction, self.alpha, most))
        z = self._path.bound(size, now - self.spent)
        self._path.follow(size, z)
        self.spent, self.size = now, size
        return z


def crossing_probabilities(z: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Chance to cross each bound for the first time at its look, where the statistic is centred at zero."""
    path, found = _Path(), []
    for bound, size in zip(z, sizes, strict=True):
        found.append(path.crossed(bound * np.sqrt(size), size))
        path.follow(size, bound)
    return found


class _Path:
    """The score process, a sum with a variance of its size, over those paths that have crossed no bound so far."""

    def __init__(self) -> None:
        self.size = 0.0
        self.values = np.zeros(1)
        self.mass = np.ones(1)

    def crossed(self, height: float, size: float) -> float:
        """Chance that it is above a height when it has grown to this size."""
        spread = np.sqrt(size - self.size)
        return float(np.sum(self.mass * special.ndtr((self.values - height) / spread)))

    def bound(self, size: float, step: float) -> float:
        """The z that is crossed with the probability `step`."""
        reach = FARTHEST_Z * np.sqrt(size)
        if step <= self.crossed(reach, size):
            return FARTHEST_Z
        height = optimize.brentq(lambda h: self.crossed(h, size) - step, -reach, reach, xtol=1e-8 * reach)
        return float(height / np.sqrt(size))

    def follow(self, size: float, z: float) -> None:
        """Grows to this size, without the paths that are above the bound then."""
        low, high = -FARTHEST_Z * np.sqrt(size), z * np.sqrt(size)
        values = (_NODES + 1) / 2 * (high - low) + low
        spread = np.sqrt(size - self.size)
        density = np.exp(-0.5 * ((values[:, None] - self.values[None, :]) / spread) ** 2) @ self.mass
        self.mass = density / (spread * np.sqrt(2 * np.pi)) * _WEIGHTS * (high - low) / 2
        self.values, self.size = values, size

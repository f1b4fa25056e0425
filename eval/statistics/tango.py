"""Tango's score interval for the difference of two paired proportions.

Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17, 891-908. Unlike Wald's interval it keeps a width when no answer flipped, so a gate
on it cannot pass for want of samples.
"""

from __future__ import annotations

import math

from scipy import optimize

from eval.statistics.interval import Interval, two_sided_z

_EDGE = 1e-12


def _score(lost: float, gained: float, n: float, delta: float) -> float:
    """Tango's score statistic for the hypothesis P(gained) - P(lost) = delta."""
    # Most likely P(lost) under the hypothesis: the positive root of a quadratic.
    a = 2 * n
    b = (2 * n - gained + lost) * delta - gained - lost
    c = -lost * delta * (1 - delta)
    p_lost = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * p_lost + delta * (1 - delta))
    distance = gained - lost - n * delta
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def tango_interval(lost: float, gained: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Interval of (gained - lost) / n.

    Counts may be fractions, so that clustered counts can be scaled to their effective size.

    Example: without a flip in 700 samples, 95 % gives +-z^2 / (700 + z^2) = +-0.005458.

    Raises:
        ValueError: when the counts do not fit in n.
    """
    if lost < 0 or gained < 0 or n <= 0 or lost + gained > n * (1 + 1e-9):
        raise ValueError(f"counts do not fit: lost {lost}, gained {gained}, n {n}")
    z = two_sided_z(confidence)
    estimate = (gained - lost) / n

    def bound(target: float, low: float, high: float) -> float:
        """Where the falling score statistic reaches the target; the end of the range where it never does."""
        at_low, at_high = (_score(lost, gained, n, x) - target for x in (low, high))
        if at_low <= 0:
            return low
        if at_high >= 0:
            return high
        return float(optimize.brentq(lambda x: _score(lost, gained, n, x) - target, low, high, xtol=1e-12))

    lower = bound(z, -1 + _EDGE, estimate)
    upper = bound(-z, estimate, 1 - _EDGE)
    return Interval(max(-1.0, lower), min(1.0, upper), confidence, "tango")

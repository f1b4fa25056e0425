"""The score interval for the ratio of two paired proportions, which is what retention of an accuracy is.

Source: Tang, Tang and Chan 2003, "On tests of equivalence via non-unity relative risk for matched-pair design",
Statistics in Medicine 22, 1217-1233; the same idea as Tango's interval, so it too keeps a width without flips.
"""

from __future__ import annotations

import math

from scipy import optimize

from eval.statistics.interval import Interval, two_sided_z


def _score(both: float, lost: float, gained: float, n: float, ratio: float) -> float:
    """Score statistic for the hypothesis P(tuned right) / P(base right) = ratio."""
    base_right, ever_right = both + lost, both + lost + gained
    # Most likely P(lost) under the hypothesis.
    a = n * (1 + ratio)
    b = base_right * ratio**2 - (both + gained + 2 * lost)
    c = lost * (1 - ratio) * ever_right / n
    p_lost = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (1 + ratio) * p_lost + ever_right * (ratio - 1)
    distance = both + gained - base_right * ratio
    if variance <= 0:
        return 0.0 if abs(distance) < 1e-12 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def paired_ratio_interval(both: float, lost: float, gained: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Interval of (both + gained) / (both + lost), the share of base accuracy that tuned keeps.

    Args:
        both: samples that both answer rightly.
        lost: right in base only.
        gained: right in tuned only.
        n: all samples. Counts may be fractions (clustered counts scaled to their effective size).
        confidence: two-sided coverage.

    Raises:
        ValueError: when base answers nothing rightly, where the ratio is undefined.
    """
    if min(both, lost, gained) < 0 or both + lost + gained > n * (1 + 1e-9):
        raise ValueError(f"counts do not fit: both {both}, lost {lost}, gained {gained}, n {n}")
    if both + lost <= 0:
        raise ValueError("the ratio to a base without a right answer is undefined")
    z = two_sided_z(confidence)
    estimate = (both + gained) / (both + lost)

    def score(log_ratio: float, target: float) -> float:
        return _score(both, lost, gained, n, math.exp(log_ratio)) - target

    far = 50.0
    if estimate == 0:
        lower, centre = 0.0, -far
    else:
        centre = math.log(estimate)
        lower = math.exp(optimize.brentq(score, centre - far, centre, args=(z,), xtol=1e-12))
    upper = math.exp(optimize.brentq(score, centre, centre + 2 * far, args=(-z,), xtol=1e-12))
    return Interval(lower, upper, confidence, "tang")

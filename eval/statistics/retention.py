"""The interval of retention, tuned over base, from paired scores.

Of right-or-wrong scores retention is the ratio of two paired proportions, with the score interval of Tang, Tang and
Chan 2003, "On tests of equivalence via non-unity relative risk for matched-pair design", Statistics in Medicine 22,
1217-1233; the same idea as Tango's interval, so it too keeps a width without flips.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from eval.statistics.bootstrap import paired_bootstrap
from eval.statistics.change import change_interval, right_or_wrong
from eval.statistics.clustered import Clusters, cluster_index
from eval.statistics.effective_size import FEW_CHANGES, effective_size
from eval.statistics.interval import Interval, two_sided_z
from eval.statistics.paired import paired_arrays


def retention_interval(
    base: ArrayLike, tuned: ArrayLike, clusters: Clusters | None = None, *, confidence: float = 0.95, seed: int = 0
) -> Interval | None:
    """Interval of mean(tuned) / mean(base); None where base scored nothing, or with one independent unit.

    Right-or-wrong scores get the score interval of a paired ratio, on the effective size where clustered. Other scores
    get the bootstrap of the linearised ratio: r_i = (t_i - R b_i) / mean(b) has mean 0 and the spread of R. Where
    almost nothing changed it is the interval of the difference over the base mean, which keeps its width.
    """
    before, after = paired_arrays(base, tuned)
    differences = after - before
    mean = float(before.mean())
    if mean <= 0 or cluster_index(clusters, len(before)).max() < 1:
        return None
    if right_or_wrong(before, after):
        size = effective_size(differences, clusters)
        both, lost, gained = (
            np.count_nonzero(mask) * size / len(before)
            for mask in (before + after == 2, differences < 0, differences > 0)
        )
        return paired_ratio_interval(both, lost, gained, size, confidence=confidence)
    ratio = float(after.mean()) / mean
    if np.count_nonzero(differences) < FEW_CHANGES:
        change = change_interval(before, after, clusters, confidence=confidence)
        return Interval(max(0.0, 1 + change.lower / mean), 1 + change.upper / mean, confidence, change.method)
    spread = paired_bootstrap((after - ratio * before) / mean, clusters, confidence=confidence, seed=seed)
    return Interval(max(0.0, ratio + spread.lower), ratio + spread.upper, confidence, spread.method)


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

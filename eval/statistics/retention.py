"""The interval of retention, tuned over base, from paired scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from eval.statistics.bootstrap import paired_bootstrap
from eval.statistics.change import change_interval, right_or_wrong
from eval.statistics.clustered import Clusters
from eval.statistics.effective_size import FEW_CHANGES, effective_size
from eval.statistics.interval import Interval
from eval.statistics.paired import paired_arrays
from eval.statistics.paired_ratio import paired_ratio_interval


def retention_interval(
    base: ArrayLike, tuned: ArrayLike, clusters: Clusters | None = None, *, confidence: float = 0.95, seed: int = 0
) -> Interval | None:
    """Interval of mean(tuned) / mean(base); None where base scored nothing.

    Right-or-wrong scores get the score interval of a paired ratio, on the effective size where clustered. Other scores
    get the bootstrap of the linearised ratio: r_i = (t_i - R b_i) / mean(b) has mean 0 and the spread of R. Where
    almost nothing changed it is the interval of the difference over the base mean, which keeps its width.
    """
    before, after = paired_arrays(base, tuned)
    differences = after - before
    mean = float(before.mean())
    if mean <= 0:
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

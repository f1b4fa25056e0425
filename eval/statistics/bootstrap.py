"""The paired bootstrap, by cluster, vectorised."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from eval.statistics.clustered import Clusters, cluster_index
from eval.statistics.interval import Interval

_INDICES_AT_ONCE = 1_500_000
"""Bounds the memory of one batch of resamples (12 MB of indices)."""


def resampled_means(
    differences: ArrayLike, clusters: Clusters | None = None, *, resamples: int = 10_000, seed: int = 0
) -> NDArray[np.float64]:
    """Means of `differences` over resampled clusters, shape (resamples,).

    Whole clusters are drawn with replacement, as many as there are; the mean is over the samples they bring.
    """
    sums, sizes = _totals(differences, clusters)
    rng = np.random.default_rng(seed)
    count = len(sums)
    same_size = bool(np.all(sizes == sizes[0]))
    means = np.empty(resamples)
    batch = max(1, _INDICES_AT_ONCE // count)
    for start in range(0, resamples, batch):
        rows = min(batch, resamples - start)
        drawn = rng.integers(0, count, size=(rows, count))
        weight = count * sizes[0] if same_size else np.take(sizes, drawn).sum(axis=1)
        means[start : start + rows] = np.take(sums, drawn).sum(axis=1) / weight
    return means


def paired_bootstrap(
    differences: ArrayLike,
    clusters: Clusters | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Interval of the mean difference of paired scores.

    The percentiles are corrected for bias and for skew (BCa, Efron 1987, JASA 82, 171-185), the skew from leaving one
    cluster out at a time. Where nothing varies the interval has no width, here as in every bootstrap: few changed
    answers call for `tango_interval`.

    Args:
        differences: tuned - base, shape (n,).
        clusters: one label a sample, or None for independent samples.
        confidence: two-sided coverage.
        resamples: bootstrap samples.
        seed: the same seed gives the same interval.
    """
    means = np.sort(resampled_means(differences, clusters, resamples=resamples, seed=seed))
    levels = np.array([0.5 - confidence / 2, 0.5 + confidence / 2])
    if means[0] < means[-1]:
        levels = _corrected_levels(means, differences, clusters, levels)
    lower, upper = np.quantile(means, levels)
    return Interval(float(lower), float(upper), confidence, "bootstrap_bca")


def _totals(differences: ArrayLike, clusters: Clusters | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        raise ValueError("there is nothing to resample")
    index = cluster_index(clusters, len(values))
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def _corrected_levels(
    means: NDArray[np.float64], differences: ArrayLike, clusters: Clusters | None, levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    sums, sizes = _totals(differences, clusters)
    estimate = sums.sum() / sizes.sum()
    # Ties count half: right-or-wrong scores give many.
    below = np.mean(means < estimate) + 0.5 * np.mean(means == estimate)
    bias = special.ndtri(np.clip(below, 0.5 / len(means), 1 - 0.5 / len(means)))
    left_out = (sums.sum() - sums) / np.maximum(sizes.sum() - sizes, 1)
    spread = left_out.mean() - left_out
    squares = float(np.sum(spread**2))
    acceleration = float(np.sum(spread**3)) / (6 * squares**1.5) if squares > 0 else 0.0
    z = bias + special.ndtri(levels)
    return special.ndtr(bias + z / (1 - acceleration * z))

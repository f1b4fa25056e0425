"""Standard errors where samples share something, such as the passage that several questions ask about.

Source: Miller 2024, "Adding Error Bars to Evals" (arXiv 2411.00640), with the small-sample correction C / (C - 1) of
cluster-robust variances; the value equals inspect_ai's `stderr(cluster=...)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Clusters = Sequence[str] | Sequence[int] | NDArray


def cluster_index(clusters: Clusters | None, n: int) -> NDArray[np.intp]:
    """Number the clusters 0..C-1, one number for every sample; without clusters every sample is its own.

    Raises:
        ValueError: when there is not one cluster for every sample.
    """
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters for {n} samples")
    return np.unique(np.asarray(clusters), return_inverse=True)[1].reshape(-1)


def cluster_totals(values: ArrayLike, clusters: Clusters | None = None) -> NDArray[np.float64]:
    """Sum of `values` in each cluster, shape (C,)."""
    values = np.asarray(values, dtype=np.float64)
    return np.bincount(cluster_index(clusters, len(values)), weights=values).astype(np.float64)


def standard_error(values: ArrayLike, clusters: Clusters | None = None) -> float:
    """Standard error of the mean of `values`, shape (n,); clustered when clusters are given.

    With clusters c of the centred values: sqrt(C / (C - 1) * sum_c (sum_{i in c} (v_i - mean))^2) / n. Without, this is
    the ordinary s / sqrt(n).

    Raises:
        ValueError: with fewer than two clusters, where no error can be estimated.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        raise ValueError("the standard error of no samples is undefined")
    totals = cluster_totals(values - values.mean(), clusters)
    count = len(totals)
    if count < 2:
        raise ValueError(f"a standard error needs two clusters or more, not {count}")
    return float(np.sqrt(count / (count - 1) * np.sum(totals**2)) / len(values))

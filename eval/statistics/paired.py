"""The mean of paired differences with its standard error and interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.statistics.clustered import Clusters, cluster_index, standard_error
from eval.statistics.interval import Interval, two_sided_t, two_sided_z


def paired_arrays(base: ArrayLike, tuned: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float arrays of one shape.

    Raises:
        ValueError: when the shapes differ, or there is nothing in them.
    """
    before, after = np.asarray(base, dtype=np.float64), np.asarray(tuned, dtype=np.float64)
    if before.shape != after.shape or not before.size:
        raise ValueError(f"paired scores must be of one length, one or more: {before.shape} and {after.shape}")
    return before, after


@dataclass(frozen=True)
class PairedDifference:
    """Mean of tuned - base over n pairs, in score units.

    Attributes:
        difference: mean of the differences.
        standard_error: its standard error, clustered when clusters were given.
        interval: difference +- quantile * standard error.
        n: pairs.
    """

    difference: float
    standard_error: float
    interval: Interval
    n: int


def paired_difference(
    base: ArrayLike,
    tuned: ArrayLike,
    clusters: Clusters | None = None,
    *,
    confidence: float = 0.95,
    quantile: Literal["normal", "t"] = "normal",
) -> PairedDifference:
    """Compare two score arrays of the same samples, shapes (n,).

    The error is that of the per-sample differences, so what base and tuned share cancels. `quantile="t"` uses C - 1
    degrees of freedom, which matters for few clusters.

    Raises:
        ValueError: when the arrays differ in length.
    """
    before, after = paired_arrays(base, tuned)
    differences = after - before
    error = standard_error(differences, clusters)
    count = int(cluster_index(clusters, len(differences)).max()) + 1
    width = error * (two_sided_z(confidence) if quantile == "normal" else two_sided_t(confidence, count - 1))
    mean = float(differences.mean())
    method = ("paired_" if clusters is None else "clustered_") + quantile
    return PairedDifference(mean, error, Interval(mean - width, mean + width, confidence, method), len(differences))

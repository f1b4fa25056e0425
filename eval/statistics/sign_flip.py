"""The sign-flip permutation test, by cluster.

If tuning changed nothing, base and tuned could be swapped in any passage without anyone noticing: the sum of the
differences of every cluster is as likely with one sign as with the other. The p-value is the share of all sign
patterns whose total is at least as far from zero as the one observed (Fisher 1935; for one sample a cluster and
right-or-wrong scores it equals the exact McNemar test).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.statistics.clustered import Clusters, cluster_totals

ENUMERATED_CLUSTERS = 20
"""Up to this many clusters that changed (2^20 patterns) everything is enumerated."""
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class SignFlipTest:
    """A two-sided p-value and how it was found: `exact`, or `monte_carlo` with this many draws."""

    p: float
    method: Literal["exact", "monte_carlo"]
    draws: int


def _exact_for_integers(totals: NDArray[np.float64], observed: float) -> float:
    """P(|sum of +-t| >= observed) from the exact distribution of the sum, built one cluster at a time."""
    sizes = np.abs(np.rint(totals)).astype(np.int64)
    reach = int(sizes.sum())
    probability = np.zeros(2 * reach + 1)
    probability[reach] = 1.0
    for size in sizes:
        shifted = np.zeros_like(probability)
        shifted[size:] += 0.5 * probability[: len(probability) - size]
        shifted[: len(probability) - size] += 0.5 * probability[size:]
        probability = shifted
    sums = np.arange(-reach, reach + 1)
    return float(probability[np.abs(sums) >= observed - _TOLERANCE].sum())


def _exact_by_enumeration(totals: NDArray[np.float64], observed: float) -> float:
    sums = np.zeros(1)
    for total in totals:
        sums = np.concatenate([sums + total, sums - total])
    return float(np.mean(np.abs(sums) >= observed - _TOLERANCE * max(1.0, observed)))


def _monte_carlo(totals: NDArray[np.float64], observed: float, draws: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    extreme, done = 0, 0
    while done < draws:
        count = min(2000, draws - done)
        bits = np.unpackbits(rng.integers(0, 256, size=(count, (len(totals) + 7) // 8), dtype=np.uint8), axis=1)
        # A sum of +-t is twice the sum over the plus signs, less the sum of all.
        sums = 2 * (bits[:, : len(totals)].astype(np.float32) @ totals.astype(np.float32)) - totals.sum()
        extreme += int(np.sum(np.abs(sums) >= observed - 1e-5 * max(1.0, observed)))
        done += count
    # The observed pattern is one of the patterns (Phipson and Smyth 2010), so p is never 0.
    return (extreme + 1) / (draws + 1)


def sign_flip_test(
    differences: ArrayLike, clusters: Clusters | None = None, *, draws: int = 20_000, seed: int = 0
) -> SignFlipTest:
    """Test that tuned - base is centred at zero, flipping whole clusters.

    Exact for right-or-wrong scores with any number of clusters, and for other scores while at most
    `ENUMERATED_CLUSTERS` clusters changed; otherwise seeded Monte Carlo.

    Args:
        differences: tuned - base, shape (n,).
        clusters: one label a sample, or None for independent samples.
        draws: Monte Carlo sign patterns.
        seed: of the Monte Carlo draws.
    """
    totals = cluster_totals(differences, clusters)
    totals = totals[np.abs(totals) > _TOLERANCE]
    observed = abs(float(totals.sum()))
    if not len(totals):
        return SignFlipTest(1.0, "exact", 0)
    if np.all(np.abs(totals - np.rint(totals)) < _TOLERANCE):
        return SignFlipTest(min(1.0, _exact_for_integers(totals, observed)), "exact", 0)
    if len(totals) <= ENUMERATED_CLUSTERS:
        return SignFlipTest(_exact_by_enumeration(totals, observed), "exact", 0)
    return SignFlipTest(_monte_carlo(totals, observed, draws, seed), "monte_carlo", draws)

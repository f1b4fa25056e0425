"""The exact McNemar test for paired right-or-wrong answers of independent samples."""

from __future__ import annotations

from scipy import stats


def mcnemar_exact(lost: int, gained: int) -> float:
    """Two-sided p-value that `lost` and `gained` flips are equally likely.

    Given the flips, the lost ones are binomial with probability 1/2 (McNemar 1947, in its exact conditional form):
    min(1, 2 * P(X <= min(lost, gained))). No flips at all give 1. Not for samples that share a passage: see
    `sign_flip_test`.

    Example: `mcnemar_exact(25, 10)` is 0.016674.
    """
    if lost < 0 or gained < 0:
        raise ValueError(f"counts of flips cannot be negative: lost {lost}, gained {gained}")
    return min(1.0, 2 * float(stats.binom.cdf(min(lost, gained), lost + gained, 0.5))) if lost + gained else 1.0

"""McNemar's exact test of paired right-or-wrong answers, and Holm's correction for several tasks looked at at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special


def mcnemar_exact(lost: int, gained: int) -> float:
    """Two-sided p-value that `lost` and `gained` flips are equally likely.

    Given the flips of independent samples, the lost ones are binomial with probability 1/2 (McNemar 1947, in its exact
    conditional form): min(1, 2 * P(X <= min(lost, gained))). No flips at all give 1. Not for samples that share a
    passage: see `sign_flip_test`.

    Example: `mcnemar_exact(25, 10)` is 0.016674.
    """
    if lost < 0 or gained < 0:
        raise ValueError(f"counts of flips cannot be negative: lost {lost}, gained {gained}")
    return min(1.0, 2 * float(special.bdtr(min(lost, gained), lost + gained, 0.5))) if lost + gained else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm 1979): the k-th smallest of m times (m - k + 1), never falling, <= 1.

    Example: `holm([.001, .02, .03, .2])` is `[.004, .06, .06, .2]`.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in adjusted]

"""How much of what the base could do the tuned model still can."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.statistics.paired import paired_arrays

MINIMUM_STANDARD_ERRORS = 2.0
"""A base closer to chance than this many standard errors has shown nothing that could be retained."""


def retention_percent(base: float, tuned: float) -> float | None:
    """100 * tuned / base; None where base is 0."""
    return 100 * tuned / base if base > 0 else None


def retention_above_chance_percent(
    base: float, tuned: float, chance: float, base_standard_error: float
) -> float | None:
    """100 * (tuned - c) / (base - c): what is kept of the part of the score that guessing does not give.

    None where base - c is under two standard errors of base: the ratio would then be noise over noise.
    """
    above = base - chance
    if above <= 0 or above < MINIMUM_STANDARD_ERRORS * base_standard_error:
        return None
    return 100 * (tuned - chance) / above


def relative_forgetting_percent(base: Sequence[float], tuned: Sequence[float]) -> float:
    """FG: the mean over the tasks of 100 * (base - tuned) / base (Luo et al. 2023, arXiv 2308.08747).

    Raises:
        ValueError: when a base score is not above 0, or the lists differ in length.
    """
    before, after = paired_arrays(base, tuned)
    if np.any(before <= 0):
        raise ValueError(f"relative forgetting divides by the base scores, which must be above 0: {list(base)}")
    return float(np.mean(100 * (before - after) / before))

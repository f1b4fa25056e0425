"""Scores of base and tuned over the same samples, as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def paired_arrays(base: ArrayLike, tuned: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float arrays of one shape.

    Raises:
        ValueError: when the shapes differ, or there is nothing in them.
    """
    before, after = np.asarray(base, dtype=np.float64), np.asarray(tuned, dtype=np.float64)
    if before.shape != after.shape or not before.size:
        raise ValueError(f"paired scores must be of one length, one or more: {before.shape} and {after.shape}")
    return before, after

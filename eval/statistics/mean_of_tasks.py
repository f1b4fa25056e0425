"""The interval of an average over independent tasks, each of which has an interval of its own.

Source: MOVER, the method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27, 1693-1702). It
takes each task's own bounds, so the width that a score interval keeps without flips is kept in the average.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.statistics.interval import Interval


def mean_interval(estimates: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Interval of the plain mean of the estimates.

    The lower bound is mean - sqrt(sum (estimate - lower)^2) / T, the upper one likewise.

    Raises:
        ValueError: without tasks, or when the intervals differ in confidence.
    """
    if not estimates or len(estimates) != len(intervals):
        raise ValueError(f"needs one interval for each of one or more estimates: {len(intervals)}, {len(estimates)}")
    levels = {interval.confidence for interval in intervals}
    if len(levels) > 1:
        raise ValueError(f"intervals of different confidence cannot be averaged: {sorted(levels)}")
    centres = np.asarray(estimates, dtype=np.float64)
    below = centres - np.array([interval.lower for interval in intervals])
    above = np.array([interval.upper for interval in intervals]) - centres
    mean, count = float(centres.mean()), len(centres)
    return Interval(
        mean - float(np.sqrt(np.sum(below**2))) / count,
        mean + float(np.sqrt(np.sum(above**2))) / count,
        levels.pop(),
        "mover",
    )

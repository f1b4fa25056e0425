"""Whether a text goes round in circles: what a model writes when it no longer knows how to end."""

from __future__ import annotations

import numpy as np

from eval.selfmade.units import units

_LONGEST_PERIOD = 80
_ROUNDS = 4
"""As many times in a row the same stretch stands in a loop."""
_LEAST_UNITS = 20
"""A loop is at least so long: `no no no no` is none."""
_WINDOW = 8
_LEAST_DISTINCT = 0.5
_LONG = 80
"""From so many units on, a text of which less than half of the stretches are new is one, too."""


def loops(text: str) -> bool:
    """Whether one stretch is repeated four times in a row, or half of a long text was said before."""
    said = units(text)
    # A list that counts its points may say the same in each of them.
    words = [unit for unit in said if not unit.isdigit()]
    return _circles(said) or (len(words) < len(said) and _circles(words))


def _circles(said: list[str]) -> bool:
    if len(said) < _LEAST_UNITS:
        return False
    numbers = np.unique(np.array(said), return_inverse=True)[1]
    for period in range(1, min(_LONGEST_PERIOD, len(numbers) // _ROUNDS) + 1):
        equal = numbers[period:] == numbers[:-period]
        needed = max((_ROUNDS - 1) * period, _LEAST_UNITS - period)
        if np.count_nonzero(equal) >= needed and _longest_run(equal) >= needed:
            return True
    if len(numbers) < _LONG:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(numbers, _WINDOW)
    return len(np.unique(windows, axis=0)) < _LEAST_DISTINCT * len(windows)


def _longest_run(equal: np.ndarray) -> int:
    """Length of the longest stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], equal, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))

"""What somebody may have meant by a word that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], n: int = 3, cutoff: float = 0.6) -> list[str]:
    """Known words like this one, the likeliest first; at most `n`.

    A word that somebody cut short or wrote a part of means those that hold it, in the order of `known`, before any
    that merely has similar letters: `qwen3-14b` means `qwen3-14b-a100`, not `qwen3-4b`.

    Args:
        word: what was written.
        known: what could have been.
        n: how many to name.
        cutoff: how alike the letters must be, of 1, where no word holds it.
    """
    written = word.lower()
    lower = {name.lower(): name for name in known}
    starting = [name for name in lower if len(written) > 1 and name.startswith(written)]
    holding = [name for name in lower if len(written) > 2 and written in name and name not in starting]
    held = [name for name in lower if len(name) > 2 and name in written]
    found = [*starting, *holding] or difflib.get_close_matches(written, lower, n, cutoff) or held
    return [lower[name] for name in found[:n]]


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`did you mean a, b or c?`; empty where nothing is near."""
    *first, last = nearest(word, known, cutoff=cutoff) or [""]
    return f"did you mean {', '.join(first)}{' or ' if first else ''}{last}?" if last else ""

"""Marks where two answers differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_PIECE = re.compile(r"[A-Za-z0-9]+|\s+|.", re.DOTALL)
_LONGEST = 600
"""Longer answers are cut for display, so that one runaway answer does not fill the page."""


@dataclass(frozen=True)
class Piece:
    """A stretch of text, and whether the other answer lacks it."""

    text: str
    differs: bool


def shortened(text: str, longest: int = _LONGEST) -> str:
    """The text, cut with an ellipsis where it is too long to show."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def mark_differences(base: str, tuned: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces; Chinese compared by characters, Latin words and numbers whole.

    Example: 北京市 against 北京 marks only 市.
    """
    left, right = _PIECE.findall(shortened(base)), _PIECE.findall(shortened(tuned))
    before: list[Piece] = []
    after: list[Piece] = []
    for kind, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for pieces, part in ((before, left[i:j]), (after, right[k:m])):
            if part:
                pieces.append(Piece("".join(part), kind != "equal"))
    return before, after

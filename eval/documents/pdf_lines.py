"""The lines of a PDF's pages with their height on the page and the size of their letters, by pypdf."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pypdf import PageObject

_SPACES = re.compile(r"[ \t\u00a0]{2,}")
_HAN = "\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_INSIDE_CHINESE = re.compile(rf"(?<=[{_HAN}]) +(?=[{_HAN}])| +(?=[，。、；：！？）」』》])|(?<=[（「『《]) +")


@dataclass(frozen=True)
class Line:
    """One line of a page."""

    text: str
    size: float
    """Size of most of its letters, in points as they are drawn."""
    y: float
    """Height of its first letter above the page's foot, in points."""


def lines_of(page: PageObject) -> list[Line]:
    """The lines of a page that hold something, in the order in which they are drawn."""
    found: list[Line] = []
    parts: list[str] = []
    sizes: Counter[float] = Counter()
    y = 0.0

    def end() -> None:
        text = _tidy("".join(parts))
        if text:
            found.append(Line(text, sizes.most_common(1)[0][0] if sizes else 0.0, y))
        parts.clear()
        sizes.clear()

    def visit(text: str, user: Sequence[float], matrix: Sequence[float], font: Any, size: float) -> None:
        nonlocal y
        for number, piece in enumerate(text.split("\n")):
            if number:
                end()
            if not piece.strip():
                parts.append(piece)
                continue
            height = matrix[4] * user[1] + matrix[5] * user[3] + user[5]
            scale = abs(matrix[2] * user[1] + matrix[3] * user[3])
            if not "".join(parts).strip():
                y = height
            parts.append(piece)
            sizes[round(size * scale, 1)] += len(piece)

    page.extract_text(visitor_text=visit)
    end()
    return found


def _tidy(text: str) -> str:
    """A line without the spaces that a change of font, or a line set to full width, leaves behind."""
    return _INSIDE_CHINESE.sub("", _SPACES.sub(" ", text)).strip()

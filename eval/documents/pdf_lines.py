"""The lines of a PDF's pages with their height on the page and the size of their letters, by pypdf."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pypdf import PageObject

from eval.documents.formulas import raised

UNKNOWN = "\ufffd"
"""Stands for a letter whose font does not say which it is."""
_READ_ENCODINGS = re.compile(r"/(?:Uni\w+-(?:UCS2|UTF16)|GB-EUC|GBpc-EUC|GBK-EUC|GBK2K|ETen(?:ms)?-B5|90ms-RKSJ)-")
"""Encodings of composite fonts from which pypdf tells letters; what it makes of others are numbers of glyphs."""
_GLYPH_NAME = re.compile(r"/[A-Za-z]{1,8}\d+")
_LETTER = re.compile(r"\S")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_SMALLER, _HIGHER = 0.85, 0.15
"""Raised letters are smaller than this share of the line's, and higher by this share of their size."""
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
        for number, piece in enumerate(_known(text, font).split("\n")):
            if number:
                end()
            if not piece.strip():
                parts.append(piece)
                continue
            height = matrix[4] * user[1] + matrix[5] * user[3] + user[5]
            scale = abs(matrix[2] * user[1] + matrix[3] * user[3])
            drawn = round(size * scale, 1)
            if not "".join(parts).strip():
                y = height
            elif drawn < _SMALLER * (usual := sizes.most_common(1)[0][0]) and height - y > _HIGHER * usual:
                piece = raised(piece.strip())
            parts.append(piece)
            sizes[drawn] += len(piece)

    page.extract_text(visitor_text=visit)
    end()
    return found


def _known(text: str, font: Any) -> str:
    """A piece of text with `UNKNOWN` for each letter of which only the number or the name of its glyph is known."""
    text = _CONTROL.sub(UNKNOWN, text)
    if not isinstance(font, Mapping) or "/ToUnicode" in font:
        return text
    encoding = _of(font, "/Encoding")
    if _of(font, "/Subtype") == "/Type0":
        named = isinstance(encoding, str) and _READ_ENCODINGS.match(encoding)
        return text if named else _LETTER.sub(UNKNOWN, text)
    own_names = isinstance(encoding, Mapping) and "/Differences" in encoding
    return _GLYPH_NAME.sub(UNKNOWN, text) if own_names else text


def _of(entries: Mapping[str, Any], key: str) -> Any:
    """An entry, None where there is none; `get` of pypdf gives what may be a reference."""
    try:
        return entries[key]
    except KeyError:
        return None


def _tidy(text: str) -> str:
    """A line without the spaces that a change of font, or a line set to full width, leaves behind."""
    return _INSIDE_CHINESE.sub("", _SPACES.sub(" ", text)).strip()

"""A text as units that n-grams are made of: words, and single characters where a script writes no spaces.

An n-gram is a stretch of units of a given weight, not of a given number: thirteen words say about as much as twenty
Chinese characters, and a text may mix both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from configs.tables.spelling import nfkc

_ALONE = "\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af\uac00-\ud7af\u0e00-\u0e7f"
_UNIT = re.compile(f"[{_ALONE}]|[^\\W{_ALONE}]+")
_IS_ALONE = re.compile(f"[{_ALONE}]")

WORD = 20
"""Weight of a word."""
CHARACTER = 13
"""Weight of a character that stands alone: twenty of them weigh as much as thirteen words."""


def units(text: str) -> list[str]:
    """Words and lone characters in their order, without case, width, punctuation and spacing."""
    return _UNIT.findall(nfkc(text).casefold())


def grams(text_units: Sequence[str], words: int) -> Iterator[tuple[str, ...]]:
    """Every stretch that is just as heavy as `words` words, one from each unit on; none where the text is shorter."""
    wanted = words * WORD
    weights = [CHARACTER if _IS_ALONE.match(unit) else WORD for unit in text_units]
    end = weight = 0
    for start, first in enumerate(weights):
        while weight < wanted:
            if end == len(weights):
                return
            weight += weights[end]
            end += 1
        yield tuple(text_units[start:end])
        weight -= first

"""Whether the texts of a column came into the conversation that was made of its row, to be trained or asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from configs.tables.cells import unpacked
from configs.tables.columns import is_content_key, is_role_key

_MARK = re.compile(r"(?<!\s)\s*(?:#{2,3} )?\w{1,12}\s*[:：]")
"""What a line of a transcript begins with: `Human:`."""

_LINES = 300
"""Of a text that does not stand there whole, the lines that are looked for: the first tell."""


def is_kept(cell: Any, said: Sequence[str]) -> bool:
    """Whether every text in a cell stands in what the messages say, whole or line by line.

    Lines of a transcript stand there without their `Human:`, an object as JSON.
    """
    if isinstance(cell, str) and _stands(cell, said):
        return True
    value = unpacked(cell)
    if isinstance(value, dict | list) and _stands(_as_json(value), said):
        return True
    return all(_stands(text, said) for text in _texts(value))


def _stands(text: str, said: Sequence[str]) -> bool:
    text = text.strip()
    if any(text in one for one in said):
        return True
    lines = [(line.strip(), _MARK.sub("", line, count=1).strip()) for line in text.split("\n", _LINES)[:_LINES]]
    return all(any(whole in one or bare in one for one in said) for whole, bare in lines)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value; of a message those that are spoken."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        speaks = any(is_role_key(str(key)) for key in value)
        for key, one in value.items():
            if is_content_key(str(key)) if speaks else key != "type":
                yield from _texts(one)


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return "\0"

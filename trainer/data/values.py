"""What a cell holds becomes text, a list or an object, or is refused; nothing becomes text that is not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection
from itertools import islice
from typing import Any

from configs.tables.cells import TEXT_PARTS, kind_of, text_parts
from configs.tables.raw import Written

Note = Callable[[str, str], None]
"""Called with (rule, what was found) where a row was mended or read by a rule that is worth counting."""

_MEDIA_PARTS = re.compile(r"image|video|audio|file", re.IGNORECASE)


class BadLayout(Exception):
    """A row that cannot be read as a conversation; `reason` is the rule it is counted under."""

    def __init__(self, reason: str, found: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.found = found
        """Which column, key, role or value it was."""


def some(columns: Collection[str]) -> str:
    """The names of columns, of very many the first."""
    return ", ".join([*islice(columns, 50), *(["…"] if len(columns) > 50 else [])]) or "(none)"


def text_of(value: Any, where: str, note: Note) -> str:
    """The text in a cell or message; `where` names it in messages.

    Numbers are written as they stood, true and false as JSON writes them, an object as JSON on one line (counted).

    Raises:
        BadLayout: `not_text` for several texts, infinite numbers, bytes and dates.
    """
    if isinstance(value, str):
        return value
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Written) and math.isfinite(value):
        return value.text
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        if math.isfinite(value):
            return repr(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    if (parts := text_parts(value)) is not None:
        return content_of(parts, where, note)[0]
    # A list of texts may be several answers or several parts; a list of objects is data.
    if isinstance(value, dict) or (isinstance(value, list) and value and all(isinstance(v, dict) for v in value)):
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError):
            raise BadLayout("not_text", f"{where}: {kind_of(value)}") from None
        note("object_as_json", f"{where}: {kind_of(value)}")
        return text
    raise BadLayout("not_text", f"{where}: {kind_of(value)}")


def content_of(value: Any, where: str, note: Note) -> tuple[str, str, list[Any]]:
    """(text, reasoning, tool calls) of a message's content, which the API allows to be a list of parts.

    Raises:
        BadLayout: `media` for images, video and audio, `not_text` for other parts that are no text.
    """
    if isinstance(value, str):
        return value, "", []
    parts = [value] if isinstance(value, dict) and "type" in value else value
    if not isinstance(parts, list):
        return text_of(value, where, note), "", []
    texts, thoughts, calls = [], [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and (kind in TEXT_PARTS or set(part) == {"text"}):
            texts.append(text_of(part.get("text"), where, note))
        elif isinstance(part, dict) and kind in ("thinking", "reasoning"):
            thoughts.append(text_of(part.get(str(kind)) or part.get("text"), where, note))
        elif isinstance(part, dict) and kind == "tool_use":
            calls.append(part)
        elif isinstance(kind, str) and _MEDIA_PARTS.search(kind):
            raise BadLayout("media", f"{where}: a part of type {kind}")
        else:
            raise BadLayout("not_text", f"{where}: a part of type {kind if isinstance(kind, str) else kind_of(part)}")
    return "".join(texts), "\n".join(thoughts), calls

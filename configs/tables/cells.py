"""What a cell holds: nothing in words, a list that a sheet keeps as text, and how a message names a value."""

from __future__ import annotations

import ast
import json
from typing import Any

from configs.disk.files import parse_json
from configs.tables.columns import is_role_key
from configs.tables.raw import is_deep

_LONGEST_PYTHON = 1 << 20
"""Characters of a cell that is read as Python: its parser takes 300 bytes a character, JSON's does not."""
TEXT_PARTS = ("text", "input_text", "output_text")
"""Types of a part that is a text."""
_MISSING = {"nan", "none", "null", "<noinput>", "noinput", "<na>", "n/a"}


def is_missing_word(value: Any) -> bool:
    """Whether a cell that may be empty holds a word that tables write for nothing: `nan`, `None`, `<noinput>`."""
    return isinstance(value, str) and len(value) < 12 and value.strip().casefold() in _MISSING


def unpacked(value: Any) -> Any:
    """A list or object that a cell of text holds as JSON, or as Python writes it; anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        read = parse_json(value)
    except ValueError:
        if len(value) > _LONGEST_PYTHON:
            return value
        try:
            # Python writes more than JSON can hold: bytes, sets, tuples and numbers as keys.
            read = json.loads(json.dumps(ast.literal_eval(value.strip())))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return value
    return value if not isinstance(read, list | dict) or is_deep(read) else read


def turns_in(cell: Any) -> Any:
    """What `unpacked` gives; a list of messages where a cell holds lists of who speaks and of what is said.

    So `datasets` writes messages whose type is a sequence of objects.
    """
    turns = unpacked(cell)
    if not isinstance(turns, dict) or not any(is_role_key(str(key)) for key in turns):
        return turns
    lists = all(isinstance(value, list) for value in turns.values()) and len({len(v) for v in turns.values()}) == 1
    return [dict(zip(turns, turn, strict=True)) for turn in zip(*turns.values(), strict=True)] if lists else turns


def text_parts(value: Any) -> list[Any] | None:
    """The parts that an API lets a text be made of, such as Gemini's `{"parts": [{"text": ...}]}`; else None."""
    if isinstance(value, dict) and isinstance(value.get("parts"), list) and value.keys() <= {"parts", "role"}:
        return list(value["parts"])
    if isinstance(value, dict) and value.get("type") in TEXT_PARTS:
        return [value]
    texts = isinstance(value, list) and all(
        isinstance(one, dict) and (one.get("type") in TEXT_PARTS or one.keys() == {"text"}) for one in value
    )
    return value if texts and value else None


def kind_of(value: Any) -> str:
    """A value's kind in words, for messages."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return f"an object with {', '.join(map(str, list(value)[:3])) or 'nothing in it'}"
    if isinstance(value, list | tuple):
        inner = {type(v).__name__ for v in value}
        names = {"str": "texts", "dict": "objects", "int": "numbers", "float": "numbers", "list": "lists"}
        return f"a list of {len(value)} {names.get(next(iter(inner)), 'values') if len(inner) == 1 else 'values'}"
    if isinstance(value, bool):
        return f"{value}".lower()
    if isinstance(value, int | float):
        return f"the number {str(value)[:30]}"
    return f"the text {value[:30]!r}" if isinstance(value, str) else f"{type(value).__name__} {str(value)[:30]}"

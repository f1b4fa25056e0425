"""What the cells of a row hold: text, a list that a sheet keeps as text, or nothing.

The rules are those by which training reads a cell (`trainer/data/values.py`), so that a question is asked as it would
be trained: NaN, null and blanks are missing, `nan` and `None` are too where a cell may be empty, true is `true`.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import DataError

_MISSING_WORDS = {"nan", "none", "null", "<noinput>", "noinput", "<na>", "n/a"}


def is_blank(value: Any) -> bool:
    """Whether a cell holds nothing: null, NaN, spaces, an empty list or object."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, list | dict | tuple) and not value)


def is_missing_word(value: Any) -> bool:
    """Whether a cell that may be empty holds what tables write for nothing."""
    return isinstance(value, str) and value.strip().casefold() in _MISSING_WORDS


def unpacked(value: Any) -> Any:
    """A list or object that a cell of text holds as JSON or as Python writes it; anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        read = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value
    return read if isinstance(read, list | dict) else value


def text_of(value: Any, where: str) -> str:
    """The text of a cell; an object as JSON on one line.

    Args:
        where: names the cell in messages, such as "`question`".

    Raises:
        DataError: a list, infinite numbers, or something else that is no text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    if isinstance(value, Mapping):
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"{where} holds {kind_of(value)}: {error}", "write it as text") from error
    raise DataError(f"{where} holds {kind_of(value)} instead of a text", "write one text there")


def passage_of(value: Any, where: str) -> str:
    """A passage, which may be a list of passages; they are joined by blank lines."""
    passages = unpacked(value)
    if not isinstance(passages, list):
        return text_of(value, where)
    return "\n\n".join(text_of(passage, where) for passage in passages if not is_blank(passage))


def required_text(row: Any, names: Sequence[str], where: str) -> str:
    """The text under the first of some names that holds one.

    Raises:
        DataError: the row is no object, or has nothing there; the message says what it has.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"{where} is {kind_of(row)} instead of an object", "write one object with columns for each row")
    name = next((name for name in names if not is_blank(row.get(name))), None)
    if name is None:
        found = ", ".join(map(str, row)) or "no columns"
        empty = [f"`{name}` is {kind_of(row[name])}" for name in names if name in row]
        raise DataError(
            f"{where}: {'; '.join(empty) or f'no {names[0]}'} (it has {found})",
            f"give it under {' or '.join(f'`{name}`' for name in names)}, or take the row out",
        )
    return text_of(row[name], f"{where}: `{name}`")


def kind_of(value: Any) -> str:
    """A value's kind in words, for messages."""
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, list(value)[:3])) or 'nothing in it'}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return "null" if value is None else f"{type(value).__name__} {str(value)[:30]}"


def refuse_lone_surrogates(row: Mapping[str, Any]) -> None:
    """Raises DataError for half of a character (JSON's `\\ud83d` alone), which no request can carry."""
    for column, value in row.items():
        try:
            json.dumps([column, value], ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"`{column}` holds half of a character ({error.object[error.start]!r})",
                "write the file again with whole characters: a text was cut inside an emoji",
            ) from error

"""What the cells of a row of questions hold, as text.

The rules are those by which training reads a cell (`trainer/data/values.py`), so that a question is asked as it would
be trained: true is `true`, 3.10 stays 3.10, an object is JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import DataError
from configs.tables.cells import kind_of, text_parts, unpacked
from configs.tables.raw import Written, is_blank


def text_of(value: Any, where: str) -> str:
    """The text of a cell; an object as JSON on one line.

    Args:
        where: names the cell in messages, such as "`question`".

    Raises:
        DataError: a list, infinite numbers, half of a character, or something else that is no text.
    """
    text = _written(value, where)
    _refuse_half(text, where)
    return text


def _written(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Written) and math.isfinite(value):
        return value.text
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    parts = [part.get("text") if isinstance(part, dict) else part for part in text_parts(value) or ()]
    if parts and all(isinstance(part, str) for part in parts):
        return "".join(map(str, parts))
    if isinstance(value, Mapping):
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"{where} holds {kind_of(value)}: {error}", "write it as text") from error
    raise DataError(f"{where} holds {kind_of(value)} instead of a text", "write one text there")


def passage_of(value: Any, where: str) -> str:
    """A passage, which may be a list of passages; they are joined by blank lines."""
    passages = unpacked(value)
    if not isinstance(passages, list) or text_parts(passages):
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
        empty = [f"column `{name}` is {kind_of(row[name])}" for name in names if name in row]
        raise DataError(
            f"{where}: {'; '.join(empty) or f'no column {names[0]}'} (it has {found})",
            f"give it under {' or '.join(f'`{name}`' for name in names)}, or take the row out",
        )
    return text_of(row[name], f"{where}: `{name}`")


def refuse_lone_surrogates(row: Mapping[str, Any]) -> None:
    """Raises DataError for half of a character (JSON's `\\ud83d` alone), which no request can carry."""
    for column, value in row.items():
        _refuse_half(json.dumps([column, value], ensure_ascii=False, default=str), f"`{column}`")


def _refuse_half(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} holds half of a character ({error.object[error.start]!r})",
            "write the file again with whole characters: a text was cut inside an emoji",
        ) from error

"""A row as it stands in a file, before anyone asks what its columns mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from configs.tables.columns import Part, part_of

BAD_ROWS = {
    "not_utf8": "the line's bytes are not UTF-8",
    "not_json": "the line is not JSON",
    "not_an_object": "the row is neither a mapping of columns nor a list of messages",
    "wrong_number_of_columns": "the CSV row has more or fewer cells than the header",
    "too_deep": "lists and objects stand inside each other more than 100 deep",
}
"""Why a row cannot be read."""

MOST_LEVELS = 100
"""Of lists and objects inside each other; Python's own limits, and those of what writes rows, begin at about 250."""


@dataclass(frozen=True)
class RawRow:
    """One row of a file."""

    place: str
    """File name and row number, as an editor shows it: `faq.jsonl:12`."""
    value: dict[str, Any]
    """The row's columns."""


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read."""

    place: str
    """File name and row number."""
    reason: str
    """Key of `BAD_ROWS`."""
    found: str = ""
    """What stood there."""


@dataclass(frozen=True)
class Wanted:
    """What whoever reads a file knows about it."""

    name: str
    """The file's name in places."""
    columns: frozenset[str] = frozenset()
    """Columns that the reader gives a meaning, whatever they are called."""
    split: str | None = None
    """Which list of rows is meant where one object holds several."""


def raw_row(place: str, value: dict[str, Any]) -> RawRow | BadRow:
    """The row, or a BadRow where it is nested deeper than anyone can read, show or write it."""
    return BadRow(place, "too_deep") if is_deep(value) else RawRow(place, value)


def is_deep(value: Any) -> bool:
    """Whether lists and objects stand inside each other more than MOST_LEVELS deep."""
    level = [value]
    for _ in range(MOST_LEVELS):
        cells = (cell for one in level for cell in (one.values() if isinstance(one, dict) else one))
        level = [cell for cell in cells if isinstance(cell, dict | list | tuple)]
        if not level:
            return False
    return True


class Written(float):
    """A number with a point, together with how it was written: 3.10 stays 3.10 where it becomes text."""

    text: str

    def __new__(cls, text: str) -> Written:
        number = super().__new__(cls, text)
        number.text = text
        return number


def is_blank(value: Any) -> bool:
    """Whether a cell holds nothing: null, NaN, spaces, an empty list or object."""
    if isinstance(value, str):
        return not value or value.isspace()
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, list | dict | tuple) and not value)


def looks_like_a_row(columns: Any, named: frozenset[str]) -> bool:
    """Whether these column names are those of a row: a conversation, or something asked and an answer.

    `named` are the columns that the reader gives a meaning.
    """
    names = [c for c in columns if isinstance(c, str)]
    parts: set[Part | None] = {part_of(name) for name in names}
    asked = bool(parts & {"question", "instruction", "input"})
    return bool(parts & {"messages", "chosen"} or (asked and "answer" in parts) or named.intersection(names))

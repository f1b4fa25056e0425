"""Which column of a row plays which part, told by the columns' names; found once for all rows with the same columns."""

from __future__ import annotations

from dataclasses import dataclass, field

from configs.tables.columns import Part, name_key, part_of


@dataclass(frozen=True)
class Shape:
    """Which column of rows with the same columns plays which part."""

    parts: dict[Part, list[str]]
    said: set[Part]
    """Parts that `columns` gives a column."""
    rest: list[str]
    """Columns whose name says nothing."""
    aside: list[str]
    """Columns that data.ignore_columns leaves out, and those of a part for which `columns` names another."""
    unread: dict[str, list[str]] = field(default_factory=dict)
    """By layout: the columns that it does not read."""


def shape_of(columns: tuple[str, ...], mapped: dict[str, str], ignored: frozenset[str]) -> Shape:
    """The shape of rows with these columns; `mapped` goes before the names."""
    parts: dict[Part, list[str]] = {}
    said: set[Part] = set()
    claimed: set[str] = set()
    for target, column in mapped.items():
        part = part_of(target)
        if part and column in columns and column not in ignored:
            parts.setdefault(part, []).append(column)
            said.add(part)
            claimed.add(column)
    rest, aside = [], []
    for column in columns:
        if column in claimed:
            continue
        part = part_of(column)
        if column in ignored or part in said:
            aside.append(column)
        elif part:
            parts.setdefault(part, []).append(column)
        else:
            rest.append(column)
    # A, B, C and D are the options of an exam; a is an answer only beside q.
    answers = parts.get("answer", [])
    if len(answers) > 1 or any(column.casefold() == "b" for column in columns):
        for name in [c for c in answers if c.casefold() == "a" and c not in claimed]:
            answers.remove(name)
            rest.append(name)
    # UltraChat and Gemini call their messages so; others call anything so.
    if not {"messages", "question", "instruction", "input"} & parts.keys():
        for name in [c for c in rest if name_key(c) in ("data", "contents")][:1]:
            parts["messages"] = [name]
            rest.remove(name)
    return Shape({part: names for part, names in parts.items() if names}, said, rest, aside)

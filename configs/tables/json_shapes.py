"""The rows inside one JSON object: under a key, by their ids, or column by column as pandas writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.tables.raw import Wanted, looks_like_a_row


def rows_of_object(value: dict[str, Any], file: Path, wanted: Wanted) -> list[Any]:
    """The rows that an object holds; the object itself where it is one.

    Raises:
        DataError: it holds several lists of rows, and nothing says which is meant, or columns of different lengths.
    """
    lists = {k: v for k, v in value.items() if isinstance(v, list) and v and isinstance(v[0], dict)}
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list):  # pandas, orient="split"
        cells = [row for row in data if isinstance(row, list) and len(row) == len(columns)]
        if len(cells) == len(data):
            return [dict(zip(map(str, columns), row, strict=True)) for row in cells]
    if looks_like_a_row(value, wanted.columns):
        return _by_column(value, file) or [value]
    others = {k: v for k, v in lists.items() if k != "data" and looks_like_a_row(v[0], wanted.columns)}
    if isinstance(data, list) and not others:
        return data
    if len(lists) == 1:
        return next(iter(lists.values()))
    if lists:
        if wanted.split in lists:
            return lists[wanted.split]
        found = ", ".join(f"{name} ({len(rows)} rows)" for name, rows in lists.items())
        raise DataError(
            f"{file}: one object with several lists of rows: {found}",
            f"write one into a file of its own, or: data.sources: [{{path: {file.name}, split: {next(iter(lists))}}}]",
        )
    inner = list(value.values())
    # Rows by their ids, which pandas calls orient="index".
    if inner and all(isinstance(row, dict) and looks_like_a_row(row, wanted.columns) for row in inner):
        return inner
    return [value]


def _by_column(value: dict[str, Any], file: Path) -> list[Any]:
    """Rows of an object that maps each column to its cells, in a list or by row number; empty where it does not."""
    if all(isinstance(cells, dict) and cells for cells in value.values()):
        names = list(next(iter(value.values())))
        if all(list(cells) == names for cells in value.values()) and (len(names) > 1 or names == ["0"]):
            return [{column: cells[name] for column, cells in value.items()} for name in names]
        return []
    if len(value) < 2 or not all(isinstance(cells, list) and cells for cells in value.values()):
        return []
    # A list of messages beside a list of tools is one row.
    if any(isinstance(cell, dict) and ("role" in cell or "from" in cell) for cells in value.values() for cell in cells):
        return []
    lengths = {column: len(cells) for column, cells in value.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{column} {length}" for column, length in lengths.items())
        raise DataError(f"{file}: columns of different lengths: {found}", "write one object a row")
    return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]

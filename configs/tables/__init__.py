"""Rows as they stand in files: JSON, JSON lines, CSV, TSV and Parquet. Imports no torch.

A row that cannot be read (bytes that are not UTF-8, a line that is not JSON) comes back as a `BadRow` with its place,
so that it is counted and named instead of stopping the reading of a hundred thousand good ones. Who needs every row
takes `read_rows`, which raises at the first of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.tables.file_bytes import opened
from configs.tables.json_files import json_value, rows_of_json, rows_of_jsonl
from configs.tables.raw import BAD_ROWS, BadRow, RawRow, Wanted
from configs.tables.sheets import rows_of_csv, rows_of_parquet

_READERS: dict[str, Callable[[Path, Wanted], Iterator[RawRow | BadRow]]] = {
    ".json": rows_of_json,
    ".jsonl": rows_of_jsonl,
    ".csv": rows_of_csv,
    ".tsv": rows_of_csv,
    ".parquet": rows_of_parquet,
}

TABLES = tuple(_READERS)
"""Endings of the files that are read."""

ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
PACKED = (*ARCHIVES, ".gz", ".zst", ".xz", ".bz2", ".lz4", ".br")
"""Endings of files in which such a file may be packed."""
SHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".et", ".numbers")
JSON_LINES = (".ndjson", ".jsonlines", ".jl")
"""Other names of JSON lines."""

CODE = [*Path(__file__).parent.glob("*.py")]
"""The files that decide what is read; who keeps what was read keeps their fingerprint too."""


def iterate_rows(file: Path, wanted: Wanted | None = None) -> Iterator[RawRow | BadRow]:
    """The rows of a file in order, those that cannot be read among them.

    Args:
        file: the file, whose ending says what it is.
        wanted: how places name the file, and what is known about its columns; its own name by default.

    Raises:
        DataError: the file as a whole cannot be read as what its ending says, or has another ending than `TABLES`.
    """
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{file}: files of type {file.suffix or '(none)'} are not read", _other_type(file))
    return reader(file, wanted or Wanted(file.name))


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Every row of a file.

    Raises:
        DataError: a row or the whole file cannot be read; the message names the row.
    """
    return [_whole(file, row).value for row in iterate_rows(file)]


def read_json(file: Path) -> Any:
    """What a JSON file holds; the rows as a list where it holds one object a line, as many files called .json do.

    Raises:
        DataError: it is not JSON; the message names the line.
    """
    value = json_value(file)
    return [_whole(file, row).value for row in rows_of_json(file, Wanted(file.name))] if value is None else value


def _whole(file: Path, row: RawRow | BadRow) -> RawRow:
    if isinstance(row, BadRow):
        found = f": {row.found}" if row.found else ""
        raise DataError(f"{file.parent / row.place}: {BAD_ROWS[row.reason]}{found}", "mend that row")
    return row


def _other_type(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix in PACKED:
        return f"unpack it first; {', '.join(TABLES)} are read"
    if suffix in SHEETS:
        return "save the sheet as CSV in UTF-8"
    if suffix in JSON_LINES:
        return f"rename it: mv {shlex.quote(file.name)} {shlex.quote(file.stem)}.jsonl"
    return f"only {', '.join(TABLES)} are read"


__all__ = [
    "ARCHIVES", "BAD_ROWS", "CODE", "JSON_LINES", "PACKED", "SHEETS", "TABLES", "BadRow", "RawRow", "Wanted",
    "iterate_rows", "opened", "read_json", "read_rows",
]  # fmt: skip

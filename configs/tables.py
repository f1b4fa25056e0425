"""Rows as they stand in files: JSON, JSON lines, CSV, TSV and Parquet. Imports no torch.

A row that cannot be read (bytes that are not UTF-8, a line that is not JSON) comes back as a `BadRow` with its place,
so that it is counted and named instead of stopping the reading of a hundred thousand good ones. Who needs every row
takes `read_rows`, which raises at the first of them.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import DataError

BAD_ROWS = {
    "not_utf8": "the line's bytes are not UTF-8",
    "not_json": "the line is not JSON",
    "not_an_object": "the row is not a mapping of columns",
    "wrong_number_of_columns": "the CSV row has more or fewer cells than the header",
}
"""Why a row cannot be read."""


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


def iterate_rows(file: Path) -> Iterator[RawRow | BadRow]:
    """The rows of a file in order, those that cannot be read among them.

    Raises:
        DataError: the file as a whole cannot be read as what its ending says, or has another ending than `TABLES`.
    """
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{file}: files of type {file.suffix or '(none)'} are not read", f"use {', '.join(TABLES)}")
    return reader(file)


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
    value = _json_or_lines(file)
    return [_whole(file, row).value for row in value] if isinstance(value, Iterator) else value


def _whole(file: Path, row: RawRow | BadRow) -> RawRow:
    if isinstance(row, BadRow):
        raise DataError(f"{file.parent / row.place}: {BAD_ROWS[row.reason]}", "mend that row")
    return row


def _read_jsonl(file: Path) -> Iterator[RawRow | BadRow]:
    with file.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            place = f"{file.name}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                yield BadRow(place, "not_utf8")
                continue
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            # Beside broken JSON: numbers of thousands of digits, lists in lists without end.
            except (ValueError, RecursionError):
                yield BadRow(place, "not_json")
                continue
            yield RawRow(place, value) if isinstance(value, dict) else BadRow(place, "not_an_object")


def _json_or_lines(file: Path) -> Any:
    """The value of a JSON file, or an iterator over its rows where it holds one object a line."""
    text = _whole_text(file)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return _read_jsonl(file)
        raise DataError(
            f"{file}:{error.lineno}: not valid JSON: {error.msg}", "mend that line, or save one object a line as .jsonl"
        ) from error


def _read_json(file: Path) -> Iterator[RawRow | BadRow]:
    values = _json_or_lines(file)
    if isinstance(values, Iterator):
        yield from values
        return
    if isinstance(values, dict) and isinstance(values.get("data"), list):
        values = values["data"]
    elif isinstance(values, dict):
        lists = [v for v in values.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        values = (
            lists[0] if len(lists) == 1 and "messages" not in values and "conversations" not in values else [values]
        )
    if not isinstance(values, list):
        raise DataError(f"{file}: expected a list of rows, found {type(values).__name__}", "wrap the rows in [ ]")
    for number, value in enumerate(values, 1):
        place = f"{file.name}:{number}"
        yield RawRow(place, value) if isinstance(value, dict) else BadRow(place, "not_an_object")


def _read_csv(file: Path) -> Iterator[RawRow | BadRow]:
    # The reader stops at 131,072 characters otherwise, which a long document has.
    csv.field_size_limit(sys.maxsize)
    dialect = "excel-tab" if file.suffix.lower() == ".tsv" else "excel"
    reader = csv.DictReader(io.StringIO(_whole_text(file), newline=""), dialect=dialect)
    for number, value in enumerate(reader, 2):  # the header is row 1
        place = f"{file.name}:{number}"
        if None in value or None in value.values():
            yield BadRow(place, "wrong_number_of_columns")
        else:
            yield RawRow(place, value)


def _read_parquet(file: Path) -> Iterator[RawRow | BadRow]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{file}: reading Parquet needs pyarrow", "pip install pyarrow") from error
    try:
        table = pyarrow.parquet.ParquetFile(file)
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{file}: not a Parquet file: {error}", "write it again") from error
    number = 0
    for batch in table.iter_batches():
        for value in batch.to_pylist():
            number += 1
            yield RawRow(f"{file.name}:{number}", value)


_READERS: dict[str, Callable[[Path], Iterator[RawRow | BadRow]]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}

TABLES = tuple(_READERS)
"""Endings of the files that are read."""


def _whole_text(file: Path) -> str:
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = data.splitlines()
        bad = sum(not _is_utf8(line) for line in lines)
        number = data[: error.start].count(b"\n") + 1
        # UTF-16, which Excel calls "Unicode text", says so in its first two bytes.
        encoding = "UTF-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "GB18030"
        raise DataError(
            f"{file}:{number}: not UTF-8 (byte {error.start}), like {bad} of {len(lines)} lines",
            f"convert it first, e.g. iconv -f {encoding} -t UTF-8 {file.name} > utf8-{file.name}",
        ) from error


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True

"""Rows as they stand in files, folders and globs; those of hub data sets come from `trainer.data.hub`.

A row that cannot be read (bytes that are not UTF-8, a line that is not JSON) comes back as a `BadRow` with its place,
so that it is counted and named instead of stopping the reading of a hundred thousand good ones.
"""

from __future__ import annotations

import codecs
import csv
import glob
import hashlib
import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.schema import SourceConfig
from trainer.data.hub import hub_fingerprint, load_hub

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class RawRow:
    """One row of a source."""

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
    """Why: `not_utf8`, `not_json`, `not_an_object`."""


def read_source(source: SourceConfig, *, seed: int, hub: str, offline: bool) -> list[RawRow | BadRow]:
    """Every row of a source in order, the seeded sample that `path#500` asks for, or the first rows of `path#:500`.

    Raises:
        DataError: nothing is there, nothing in it can be read as rows, or a hub data set cannot be loaded.
    """
    path, count, first = split_count(source.path)
    files = find_files(path)
    if files:
        every = (row for file in files for row in _READERS[file.suffix.lower()](file))
    else:
        loaded = load_hub(path, source, hub, offline)
        every = (RawRow(f"{path}:{number}", dict(value)) for number, value in enumerate(loaded, 1))
    rows = list(islice(every, count if first else None))
    if not rows:
        raise DataError(f"{path}: no rows in it", "check data.sources[].path")
    if count is not None and count < len(rows):
        picked = sorted(random.Random(f"{seed} sample").sample(range(len(rows)), count))
        rows = [rows[i] for i in picked]
    return rows


def split_count(path: str) -> tuple[str, int | None, bool]:
    """(path, rows wanted or None for all, whether the first ones): `rows.jsonl#500` a sample, `rows.jsonl#:500` not."""
    name, sep, count = path.rpartition("#")
    first = count.startswith(":")
    digits = count.removeprefix(":")
    if not sep or not digits.isdecimal():
        return path, None, False
    if int(digits) == 0:
        raise DataError(f"{path}: 0 rows are asked for", "give a count above 0, or leave `#` out")
    return name, int(digits), first


def find_files(path: str) -> list[Path]:
    """The data files that a path, folder or glob stands for, sorted; empty when it looks like a hub id.

    Raises:
        DataError: a file has a suffix that is not read, a folder holds no data file, or a path leads nowhere.
    """
    place = Path(path).expanduser()
    if place.is_file():
        if place.suffix.lower() not in SUFFIXES:
            raise DataError(
                f"{path}: files of type {place.suffix or '(none)'} are not read", f"use {', '.join(SUFFIXES)}"
            )
        return [place]
    if place.is_dir():
        found = sorted(f for f in place.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        if not found:
            raise DataError(f"{path}: no data file in this folder", f"put {', '.join(SUFFIXES)} files into it")
        return found
    if any(c in path for c in "*?["):
        found = sorted(Path(f) for f in glob.glob(str(place), recursive=True))
        found = [f for f in found if f.suffix.lower() in SUFFIXES and f.is_file()]
        if not found:
            raise DataError(f"{path}: the pattern matches no data file", f"it looks for {', '.join(SUFFIXES)}")
        return found
    if place.is_absolute() or place.suffix.lower() in SUFFIXES or path.startswith((".", "~")) or path.count("/") > 1:
        raise DataError(
            f"{path}: no such file or folder", "check data.sources[].path; it is looked up beside the recipe"
        )
    return []


def fingerprint(source: SourceConfig, *, hub: str, offline: bool) -> str:
    """A hash of what a source holds: of the bytes of its files, or of a hub data set as it is loaded today."""
    digest = hashlib.sha256(source.model_dump_json().encode())
    path = split_count(source.path)[0]
    files = find_files(path)
    if not files:
        digest.update(hub_fingerprint(path, source, hub, offline).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


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


def _read_json(file: Path) -> Iterator[RawRow | BadRow]:
    text = _whole_text(file)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        # Many files called .json hold one object a line.
        first = text.lstrip().partition("\n")[0]
        if error.msg == "Extra data" and first.startswith("{"):
            yield from _read_jsonl(file)
            return
        raise DataError(
            f"{file}:{error.lineno}: not valid JSON: {error.msg}", "mend that line, or save one object a line as .jsonl"
        ) from error
    if isinstance(values, dict):
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
    reader = csv.DictReader(io.StringIO(_whole_text(file), newline=""))
    for number, value in enumerate(reader, 2):  # the header is row 1
        place = f"{file.name}:{number}"
        if None in value or None in value.values():
            yield BadRow(place, "wrong_number_of_columns")
        else:
            yield RawRow(place, value)


def _read_parquet(file: Path) -> Iterator[RawRow | BadRow]:
    import pyarrow
    import pyarrow.parquet

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
    ".parquet": _read_parquet,
}


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

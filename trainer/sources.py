"""Rows as they stand in files, folders, globs and hub data sets.

A row that cannot be read (bytes that are not UTF-8, a line that is not JSON) comes back as a `BadRow` with its place,
so that it is counted and named instead of stopping the reading of a hundred thousand good ones.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.schema import SourceConfig

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
    """Every row of a source in order, or the seeded sample that `path#500` asks for.

    Raises:
        DataError: nothing is there, nothing in it can be read as rows, or a hub data set cannot be loaded.
    """
    path, count = split_sample(source.path)
    rows: list[RawRow | BadRow] = []
    if files := find_files(path):
        for file in files:
            rows.extend(_READERS[file.suffix.lower()](file))
    else:
        rows.extend(_read_hub(path, source, hub, offline))
    if not rows:
        raise DataError(f"{path}: no rows in it", "check data.sources[].path")
    if count is not None and count < len(rows):
        picked = sorted(random.Random(f"{seed} sample").sample(range(len(rows)), count))
        rows = [rows[i] for i in picked]
    return rows


def split_sample(path: str) -> tuple[str, int | None]:
    """`rows.jsonl#500` as (`rows.jsonl`, 500); a path without a count as (path, None)."""
    name, sep, count = path.rpartition("#")
    if sep and count.isdigit():
        if int(count) == 0:
            raise DataError(f"{path}: a sample of 0 rows", "give a count above 0, or leave `#` out")
        return name, int(count)
    return path, None


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


def fingerprint(source: SourceConfig) -> str:
    """A hash of what a source holds: of the bytes of its files, or of a hub data set's name."""
    digest = hashlib.sha256(source.model_dump_json().encode())
    for file in find_files(split_sample(source.path)[0]):
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
            except json.JSONDecodeError:
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
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(
            f"{file}:{line}: not UTF-8 (byte {error.start})",
            f"convert it first, e.g. iconv -f GB18030 -t UTF-8 {file.name} > utf8-{file.name}",
        ) from error


def _read_hub(path: str, source: SourceConfig, hub: str, offline: bool) -> Iterator[RawRow | BadRow]:
    """Rows of a hub data set, from the local cache when it is there."""
    offline = offline or os.environ.get("HF_HUB_OFFLINE") == "1"
    load = _from_modelscope if hub == "modelscope" else _from_huggingface
    for number, value in enumerate(load(path, source, offline), 1):
        yield RawRow(f"{path}:{number}", dict(value))


def _from_huggingface(path: str, source: SourceConfig, offline: bool) -> Any:
    from datasets import DownloadConfig, load_dataset
    from huggingface_hub.errors import HfHubHTTPError

    # `datasets` raises OSErrors for the network and the cache, ValueErrors for unknown splits and subsets.
    try:
        with _no_requests() if offline else nullcontext():
            return load_dataset(
                path, source.subset, split=source.split, download_config=DownloadConfig(local_files_only=offline)
            )
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise _hub_error(path, source, "Hugging Face", error, offline) from error


@contextmanager
def _no_requests() -> Iterator[None]:
    """Keeps `datasets` off the network: `local_files_only` alone still asks the hub what the data set looks like."""
    from datasets import config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before


def _from_modelscope(path: str, source: SourceConfig, offline: bool) -> Any:
    from modelscope import MsDataset
    from modelscope.utils.constant import DownloadMode

    if offline:
        os.environ["HF_DATASETS_OFFLINE"] = "1"
    try:
        loaded = MsDataset.load(
            path,
            subset_name=source.subset or "default",
            split=source.split,
            download_mode=DownloadMode.REUSE_DATASET_IF_EXISTS,
        )
    except (OSError, ValueError) as error:
        raise _hub_error(path, source, "ModelScope", error, offline) from error
    return loaded


def _hub_error(path: str, source: SourceConfig, hub: str, error: Exception, offline: bool) -> DataError:
    what = f"{path!r} is no local file or folder, and as a data set of {hub} (split {source.split!r}"
    what += f", subset {source.subset!r})" if source.subset else ")"
    how = "is not in the local cache" if offline else f"could not be loaded: {str(error).splitlines()[0]}"
    next_step = "check the name, the split and the network; in China set `hub: modelscope` or HF_ENDPOINT"
    return DataError(f"{what} {how}", "run once without `offline: true`" if offline else next_step)

"""The rows of a source: a file, folder, glob or hub data set, whole, sampled, or the first of them."""

from __future__ import annotations

import glob
import hashlib
import random
from itertools import islice
from pathlib import Path

from configs.errors import DataError
from configs.fingerprint import files_fingerprint
from configs.homes import expanded
from configs.schema import SourceConfig
from configs.tables import TABLES, BadRow, RawRow, Wanted, iterate_rows
from configs.tables.sheets import without_padding
from trainer.data.dataset_info import SIDE_FILES, DataFile, described_files
from trainer.data.hub import hub_fingerprint, load_hub


def read_source(source: SourceConfig, *, seed: int, hub: str, offline: bool) -> list[RawRow | BadRow]:
    """Every row of a source in order, the seeded sample that `path#500` asks for, or the first rows of `path#:500`.

    Raises:
        DataError: nothing is there, nothing in it can be read as rows, or a hub data set cannot be loaded.
    """
    path, count, first = split_count(source.path)
    files = source_files(source)
    if files:
        split = source.split if "split" in source.model_fields_set else None
        columns = frozenset(source.columns.values())
        every = (
            row
            for file, about in files
            for row in iterate_rows(file, Wanted(about.name, columns.union(about.columns.values()), split))
        )
    else:
        loaded = load_hub(path, source, hub, offline)
        # `datasets` holds rows in Arrow, which pads the objects of a column to one shape.
        every = (RawRow(f"{path}:{n}", without_padding(dict(value))) for n, value in enumerate(loaded, 1))
    rows = list(islice(every, count if first else None))
    if not rows:
        raise DataError(f"{path}: no rows in it", "check data.sources[].path")
    if count is not None and count < len(rows):
        picked = sorted(random.Random(f"{seed} sample").sample(range(len(rows)), count))
        rows = [rows[i] for i in picked]
    return rows


def source_files(source: SourceConfig) -> list[tuple[Path, DataFile]]:
    """The files of a source with their descriptions; none for a hub data set.

    Raises:
        DataError: what `find_files` and `described_files` raise.
    """
    path = split_count(source.path)[0]
    files = find_files(path)
    return described_files(files, path, source) if files else []


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

    Files that describe data (`dataset_info.json` and the like) are no data.

    Raises:
        DataError: a file has a suffix that is not read, a folder holds no data file, or a path leads nowhere.
    """
    place = expanded(path)
    if place.is_file():
        if place.suffix.lower() not in TABLES:
            iterate_rows(place)  # raises, with what to do about such a file
        return [place]
    if place.is_dir():
        found = sorted(f for f in place.rglob("*") if _is_data(f))
        if not found:
            raise DataError(f"{path}: no data file in this folder", f"put {', '.join(TABLES)} files into it")
        return found
    if any(c in path for c in "*?["):
        found = sorted(f for f in map(Path, glob.glob(str(place), recursive=True)) if _is_data(f))
        if not found:
            raise DataError(f"{path}: the pattern matches no data file", f"it looks for {', '.join(TABLES)}")
        return found
    if place.is_absolute() or place.suffix.lower() in TABLES or path.startswith((".", "~")) or path.count("/") > 1:
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
    else:
        info = sorted({file.parent / "dataset_info.json" for file in files})
        digest.update(files_fingerprint([*files, *(file for file in info if file.is_file())]).encode())
    return digest.hexdigest()


def _is_data(file: Path) -> bool:
    return file.suffix.lower() in TABLES and file.name not in SIDE_FILES and file.is_file()

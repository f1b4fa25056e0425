"""The rows of a source: a file, folder, glob or hub data set, whole, sampled, or the first of them."""

from __future__ import annotations

import hashlib
import random
from itertools import islice
from pathlib import Path

import psutil

from configs.disk.homes import expanded
from configs.errors import DataError
from configs.model.fingerprint import files_fingerprint
from configs.process.limits import limits
from configs.recipe.schema import SourceConfig
from configs.tables import BadRow, RawRow, Wanted, iterate_rows
from configs.tables.raw import raw_row
from configs.tables.sheets import without_padding
from trainer.data.dataset_info import DataFile, described_files, info_files
from trainer.data.files import find_files, require_one_split
from trainer.data.hub import hub_fingerprint, load_hub

_LEAST_MEMORY = 4 << 30
"""Bytes of address space that reading may take on any machine; readers reserve more of it than they use."""


def read_source(source: SourceConfig, *, seed: int, hub: str, offline: bool) -> list[RawRow | BadRow]:
    """Every row of a source in order, the seeded sample that `path#500` asks for, or the first rows of `path#:500`.

    Raises:
        DataError: nothing is there, nothing in it can be read as rows, or a hub data set cannot be loaded.
    """
    path, count, first = split_count(source.path)
    files = source_files(source)
    if files:
        split = source.split if "split" in source.model_fields_set else None
        if split and "[" in split:
            raise DataError(
                f"{path}: split: {split} is for data sets of a hub", f"of a file, {path}#:5000 is the first 5,000 rows"
            )
        columns = frozenset(source.columns.values())
        every = (
            row
            for file, about in files
            for row in iterate_rows(file, Wanted(about.name, columns.union(about.columns.values()), split))
        )
    else:
        loaded = load_hub(path, source, hub, offline)
        # `datasets` holds rows in Arrow, which pads the objects of a column to one shape.
        every = (raw_row(f"{path}:{n}", without_padding(dict(value))) for n, value in enumerate(loaded, 1))
    try:
        # What is read is kept more than once on its way to token rows; a small file may unpack to more than there is.
        spare = max(_LEAST_MEMORY, psutil.virtual_memory().available // 2)
        rows = limits.run(lambda: list(islice(every, count if first else None)), 0, spare)
    except MemoryError as error:
        raise DataError(
            f"{path}: its rows take more than half of the memory of this machine",
            "split the file, or take the first rows of it: path#:10000",
        ) from error
    if not rows:
        raise DataError(f"{path}: no rows in it", "check data.sources[].path")
    if count is not None and count < len(rows):
        picked = sorted(random.Random(f"{seed} sample").sample(range(len(rows)), count))
        rows = [rows[i] for i in picked]
    return rows


def source_files(source: SourceConfig) -> list[tuple[Path, DataFile]]:
    """The files of a source with their descriptions; none for a hub data set.

    Raises:
        DataError: what `find_files`, `described_files` and `require_one_split` raise.
    """
    path = split_count(source.path)[0]
    files = find_files(path)
    described = described_files(files, path, source) if files else []
    if (root := expanded(path)).is_dir():
        require_one_split([file for file, _ in described], root)
    return described


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


def fingerprint(source: SourceConfig, *, hub: str, offline: bool) -> str:
    """A hash of what a source holds: of the bytes of its files, or of a hub data set as it is loaded today."""
    digest = hashlib.sha256(source.model_dump_json().encode())
    path = split_count(source.path)[0]
    files = find_files(path)
    if not files:
        digest.update(hub_fingerprint(path, source, hub, offline).encode())
    else:
        digest.update(files_fingerprint([*files, *info_files(files)]).encode())
    return digest.hexdigest()

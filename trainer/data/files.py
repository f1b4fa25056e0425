"""The data files that a path, folder or glob stands for; what would silently be missing among them is refused.

A folder may be somebody else's: links out of it, pipes and devices under the names of tables, and links in circles are
in it for a reason that is not ours to guess.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from configs.disk.files import require_utf8_name
from configs.disk.homes import expanded
from configs.errors import DataError
from configs.tables import ARCHIVES, JSON_LINES, PACKED, SHEETS, TABLES, iterate_rows, opened
from trainer.data.dataset_info import SIDE_FILES

_OTHER_TABLES = (
    *SHEETS, *JSON_LINES, ".tab", ".psv", ".json5", ".jsonc", ".arrow", ".feather", ".ipc", ".orc", ".avro", ".parq",
    ".pq", ".lance", ".msgpack", ".tfrecord", ".pkl", ".pickle", ".db", ".sqlite", ".sqlite3",
)  # fmt: skip
"""Endings of files that hold rows and are not read."""
_UNFINISHED = (".aria2", ".crdownload", ".download", ".filepart", ".incomplete", ".part", ".partial", ".!qb", ".xltd")
"""Endings that programs put behind a file's name while they fetch it."""
_PART = re.compile(r"(.+)-(\d+)-of-(\d+)(?!\d).*")
"""A part of a table as hubs name it: `train-00000-of-00002.parquet`."""
_TRAIN = {"train", "training", "训练", "训练集"}
_TEST = {"test", "dev", "val", "valid", "validation", "eval", "heldout", "测试", "测试集", "验证", "验证集"}
"""Words of a file's name, or its folder's, that say whether its rows are to be trained."""
_BETWEEN = re.compile(r"[\W\d_]+")
_APART = "take it out of the folder, or name the files alone in data.sources[].path"


def find_files(path: str) -> list[Path]:
    """The data files that a path, folder or glob stands for, sorted; empty when it looks like a hub id.

    Hidden files and folders, and files that describe data (`dataset_info.json` and the like), are no data.

    Raises:
        DataError: a file has a suffix that is not read, a folder holds no data file or one that cannot be read, or a
            path leads nowhere.
    """
    place = expanded(path)
    if place.is_file():
        if place.suffix.lower() not in TABLES:
            iterate_rows(place)  # raises, with what to do about such a file
        opened(place).close()
        return [place]
    if place.is_dir():
        if found := _readable(_walk(place), place):
            _require_every_part(found)
            return found
        raise DataError(f"{path}: no data file in this folder", f"put {', '.join(TABLES)} files into it")
    if any(c in path for c in "*?["):
        if found := _matching(place):
            return found
        raise DataError(f"{path}: the pattern matches no data file", f"it looks for {', '.join(TABLES)}")
    if os.path.lexists(place):
        raise DataError(f"{path}: a link to nothing, a pipe or a device", "name a file or folder")
    if place.is_absolute() or place.suffix.lower() in TABLES or path.startswith((".", "~")) or path.count("/") > 1:
        raise DataError(
            f"{path}: no such file or folder", "check data.sources[].path; it is looked up beside the recipe"
        )
    return []


def _walk(root: Path, pattern: tuple[str, ...] = ("**",)) -> Iterator[Path]:
    """Everything below a folder that could match, hidden ones aside; folders that are links too, which are not entered.

    Raises:
        DataError: a folder cannot be opened.
    """
    depth = len(pattern) - 1 if "**" not in pattern else None
    hidden = any(part.startswith(".") for part in pattern)
    for folder, folders, files in os.walk(root, onerror=_closed):
        below = Path(folder).relative_to(root).parts
        if not hidden:
            folders[:] = [name for name in folders if not name.startswith(".")]
            files = [name for name in files if not name.startswith(".")]
        if depth is not None:
            folders[:] = [name for name in folders if len(below) < depth and fnmatchcase(name, pattern[len(below)])]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield from (Path(folder, name) for name in (*files, *links))


def _closed(error: OSError) -> None:
    raise DataError(f"{error.filename}: a folder that cannot be opened ({error.strerror})", _APART) from error


def _matching(place: Path) -> list[Path]:
    """The data files that a pattern matches, as `glob` reads it, but through no link to a folder."""
    parts = place.parts
    fixed = next(i for i, part in enumerate(parts) if any(c in part for c in "*?["))
    root, pattern = Path(*parts[:fixed]), parts[fixed:]
    if not root.is_dir():
        return []
    # What stands in a linked folder might match; the link is what is refused.
    found = (f for f in _walk(root, pattern) if f.is_dir() or _matches(f.relative_to(root).parts, pattern))
    return _readable(found, root)


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _readable(candidates: Iterator[Path], root: Path) -> list[Path]:
    """The data files among what was found, sorted.

    Raises:
        DataError: one is no file, cannot be opened, or lies elsewhere; rows would be missing without a word.
    """
    found, others = [], []
    for file in sorted(candidates):
        suffix = file.suffix.lower()
        if file.is_symlink() and file.is_dir():
            raise DataError(
                f"{file}: a link to a folder, which is not followed", f"name {file} in data.sources, or {_APART}"
            )
        if suffix in TABLES and file.name not in SIDE_FILES:
            if file.is_symlink() and not _lies_in(file, root):
                step = f"name {os.path.realpath(file)} in data.sources if it is meant, or {_APART}"
                raise DataError(f"{file}: a link that leads out of {root}", step)
            if not file.is_file():
                raise DataError(f"{file}: a link to nothing, a pipe or a device", _APART)
            require_utf8_name(file)
            opened(file).close()
            found.append(file)
        elif suffix in _UNFINISHED and Path(file.stem).suffix.lower() in TABLES:
            raise DataError(f"{file}: a download that has not ended", f"go on with it, or {_APART}")
        elif _holds_other_rows(file):
            others.append(file)
    tables = {_unended(file) for file in found}
    for file in others:
        # A workbook beside the CSV that was saved from it is left out rightly, as is an archive beside what was in it.
        if _unended(file) not in tables:
            try:
                iterate_rows(file)
            except DataError as error:
                raise DataError(error.message, f"{error.next_step}; or {_APART}") from error
    return found


def _require_every_part(files: Sequence[Path]) -> None:
    """Raises a DataError for a table of which some parts are here and others are not, as a broken download leaves."""
    numbers: dict[tuple[Path, str, int], set[int]] = {}
    for file in files:
        if part := _PART.fullmatch(file.name):
            numbers.setdefault((file.parent, part[1], int(part[3])), set()).add(int(part[2]))
    for (folder, name, total), found in numbers.items():
        if len(found) < total:
            raise DataError(
                f"{folder}: {total - len(found)} of the {total} parts of {name} are missing",
                "fetch them, or name the files alone in data.sources[].path",
            )


def require_one_split(files: Sequence[Path], root: Path) -> None:
    """Raises a DataError for a folder in which some files are to train, and others to test by, as their names say."""
    words = {file: set(_BETWEEN.split(file.relative_to(root).as_posix().lower())) for file in files}
    kept = [file for file in files if words[file] & _TEST and not words[file] & _TRAIN]
    if kept and any(words[file] & _TRAIN for file in files):
        train = ", ".join(str(file) for file in files if file not in kept)
        raise DataError(
            f"{root}: beside what is to be trained lies what is kept to test by: {', '.join(map(str, kept[:3]))}",
            f"name the files: data.sources: [{train}], and the others in data.heldout or eval.tasks; "
            f"{root}/** trains all of them",
        )


def _holds_other_rows(file: Path) -> bool:
    """Whether a file is a table that is not read, or may have one packed in it."""
    suffix, inner = file.suffix.lower(), Path(file.stem).suffix.lower()
    return suffix in (*_OTHER_TABLES, *ARCHIVES) or (suffix in PACKED and inner in (*TABLES, ".tar"))


def _unended(file: Path) -> Path:
    """A file's path without the endings that say what it is: of `train.2.jsonl.gz` it is `train.2`."""
    while file.suffix.lower() in (*TABLES, *PACKED, *_OTHER_TABLES):
        file = file.with_suffix("")
    return file


def _lies_in(file: Path, root: Path) -> bool:
    """Whether a link leads to a file in a folder; the Hugging Face cache keeps what a snapshot links to beside it."""
    real, inside = Path(os.path.realpath(file)), Path(os.path.realpath(root))
    kept = [folder.parent / "blobs" for folder in (inside, *inside.parents) if folder.name == "snapshots"]
    return any(real.is_relative_to(folder) for folder in (inside, *kept))

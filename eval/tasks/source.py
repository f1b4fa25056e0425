"""Where a task's data comes from: a file, a folder, a zip archive in it, or a hub's data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from configs.disk.homes import expanded
from configs.disk.temporary import temporary_folder
from configs.errors import ConfigError, DataError
from configs.network.hub import fetch
from configs.tables import TABLES
from eval.tasks.archive import unpack

_FILES = [f"*{ending}" for ending in (*TABLES, ".zip", ".txt")]


@contextmanager
def located(path: str, hub: str = "huggingface", offline: bool = False) -> Iterator[Path]:
    """The local file or folder behind a path or hub id; archives in it are unpacked for the time of the block.

    Args:
        path: file, folder, or hub id (`owner/name`) of a data set.
        hub: `huggingface` or `modelscope`.
        offline: look only into the hub's cache.

    Raises:
        ConfigError: neither a path nor a hub id, or the hub has no such data set.
        TuneserveError: the download failed, or there is nothing in the cache to use offline.
    """
    local = expanded(path)
    if not local.exists():
        if path.count("/") != 1 or path.startswith((".", "/", "~")):
            raise ConfigError(
                f"{path}: no such file or folder, and not a hub id (owner/name)", "check the task's `path`"
            )
        local = fetch("dataset", path, hub, offline, _FILES, "set the task's `path` to a local copy")
    archives = (
        [local]
        if local.suffix == ".zip" and local.is_file()  # a pipe of that name would be waited for
        else sorted(filter(Path.is_file, local.glob("[!.]*.zip")))
        if local.is_dir()
        else []
    )
    if not archives:
        yield local
        return
    with temporary_folder() as unpacked:
        for archive in archives:
            unpack(archive, unpacked, (*TABLES, ".txt"))
        try:
            yield unpacked
        except DataError as error:  # that folder is gone when its name is read
            texts = (text.replace(str(unpacked), str(local)) for text in (error.message, error.next_step))
            raise DataError(*texts) from error


def find_table(root: Path, preferred: Sequence[str] = ()) -> Path:
    """The one table of a task: `root` itself, or in a folder the one whose path holds one of `preferred`, in order.

    Of several with the same word the one that is called by it is meant: `test.jsonl` beside `test_socratic.jsonl`.

    Raises:
        DataError: none fits, or several do: the parts of a split, or of subsets, of which one alone says less.
    """
    if root.is_file():
        return root
    there = (path for path in root.rglob("[!.]*") if path.suffix.lower() in TABLES and "info" not in path.name)
    tables = sorted(filter(Path.is_file, there))
    for word in preferred:
        if named := [path for path in tables if word in str(path.relative_to(root)).lower()]:
            exactly = [path for path in named if path.stem.lower() == word.rpartition("/")[2]]
            tables = exactly if len(exactly) == 1 else named
            break
    if len(tables) == 1:
        return tables[0]
    found = ", ".join(str(path.relative_to(root)) for path in tables[:8]) or "no table"
    raise DataError(f"{root}: which file is meant? It holds {found}", "set the task's `path` to one file")

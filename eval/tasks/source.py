"""Where a task's data comes from: a file, a folder, a zip archive in it, or a hub's data set, read as plain rows."""

from __future__ import annotations

import csv
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, DataError, TuneserveError, first_line
from configs.hub import stays_offline

Row = dict[str, Any]
TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


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
    local = Path(path).expanduser()
    if not local.exists():
        if path.count("/") != 1 or path.startswith((".", "/", "~")):
            raise ConfigError(
                f"{path}: no such file or folder, and not a hub id (owner/name)", "check the task's `path`"
            )
        local = _download(path, hub, offline)
    archives = [local] if local.suffix == ".zip" else sorted(local.glob("*.zip")) if local.is_dir() else []
    if not archives:
        yield local
        return
    with tempfile.TemporaryDirectory() as unpacked:
        for archive in archives:
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(unpacked)
        yield Path(unpacked)


def _download(name: str, hub: str, offline: bool) -> Path:
    patterns = [f"*{ending}" for ending in (*TABLES, ".zip", ".txt")]
    offline = stays_offline(offline)
    fetch, unknown, failures = _client(hub)
    local_copy = "set the task's `path` to a local copy"
    try:
        return Path(fetch(name, repo_type="dataset", local_files_only=offline, allow_patterns=patterns))
    except failures as error:
        # ModelScope's client passes its own error on as the cause of one of requests'.
        if isinstance(error, unknown) or isinstance(error.__cause__, unknown):
            raise ConfigError(
                f"{hub} has no data set {name!r}", f"check the task's `path` and `hub`, or {local_copy}"
            ) from error
        if offline:
            raise TuneserveError(
                f"data set {name!r} is not in the cache of {hub} on this machine",
                f"fetch it once without `offline: true` and HF_HUB_OFFLINE, or {local_copy}",
            ) from error
        raise TuneserveError(
            f"data set {name!r} could not be fetched from {hub}: {first_line(error)}",
            f"check the network (`hub: modelscope`, HF_ENDPOINT), or {local_copy}",
        ) from error


def _client(hub: str) -> tuple[Callable[..., str], tuple[type[Exception], ...], tuple[type[Exception], ...]]:
    """A hub's download, the errors that mean a wrong name, and all that it raises."""
    if hub == "modelscope":
        from modelscope.hub import errors
        from modelscope.hub.snapshot_download import snapshot_download

        return snapshot_download, (errors.NotExistError,), (OSError, ValueError, errors.HubError)
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    return huggingface_hub.snapshot_download, (RepositoryNotFoundError, HFValidationError), (OSError, ValueError)


def read_rows(file: Path) -> list[Row]:
    """Rows of a .jsonl, .json (a list, or an object with `data`), .csv, .tsv or .parquet file.

    Raises:
        DataError: the file cannot be read as what its ending says; the message names the line.
    """
    match file.suffix:
        case ".jsonl":
            return list(_json_lines(file))
        case ".json":
            value = read_json(file)
            rows = value.get("data", value) if isinstance(value, dict) else value
            if not isinstance(rows, list):
                raise DataError(
                    f"{file}: not a list of rows", "write one JSON list, or one object a line in a .jsonl file"
                )
            return rows
        case ".csv" | ".tsv":
            with file.open(encoding="utf-8-sig", newline="") as handle:
                return list(csv.DictReader(handle, dialect="excel-tab" if file.suffix == ".tsv" else "excel"))
        case ".parquet":
            return _parquet(file)
    raise DataError(f"{file}: unknown kind of file", f"use one of {', '.join(TABLES)}")


def read_json(file: Path) -> Any:
    """A whole JSON file; raises `DataError` with the line where it breaks."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return list(_json_lines(file))
        raise DataError(f"{file}, line {error.lineno}: {error.msg}", "mend the file") from error


def _json_lines(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{file}, line {number}: {error.msg}", "every line must be one JSON object") from error
            if not isinstance(row, dict):
                raise DataError(f"{file}, line {number}: {line.strip()[:60]!r} is no JSON object", "mend the line")
            yield row


def _parquet(file: Path) -> list[Row]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(f"{file}: reading parquet needs pyarrow", "pip install pyarrow") from error
    rows: list[Row] = pyarrow.parquet.read_table(file).to_pylist()
    return rows


def find_table(root: Path, preferred: Sequence[str] = ()) -> Path:
    """The one table of a task: `root` itself, or in a folder the first whose path holds one of `preferred`, in order.

    Raises:
        DataError: none fits.
    """
    if root.is_file():
        return root
    tables = sorted(path for path in root.rglob("*") if path.suffix in TABLES and "info" not in path.name)
    for word in preferred:
        for path in tables:
            if word in str(path.relative_to(root)).lower():
                return path
    if len(tables) == 1:
        return tables[0]
    found = ", ".join(str(path.relative_to(root)) for path in tables[:8]) or "no table"
    raise DataError(f"{root}: which file is meant? It holds {found}", "set the task's `path` to one file")

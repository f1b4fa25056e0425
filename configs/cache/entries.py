"""Entries of the cache that are made once and kept for a while: one command makes each, the oldest are forgotten."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from configs.errors import TuneserveError
from configs.terminal.console import note

WAIT_S = 3600.0
"""How long another command is waited for that makes the entry which is needed."""
_ENTRIES = 8
"""Entries that `forget_old` keeps."""
_KEY = re.compile(r"[0-9a-f]{32,}")
"""Names of entries: hashes. TUNESERVE_CACHE may name a folder that holds more than the cache, under the same names."""


@contextmanager
def alone(entry: Path) -> Iterator[None]:
    """Holds the lock of an entry; another command that makes the same one is named, and waited for.

    Raises:
        TuneserveError: it is not done within `WAIT_S`.
    """
    file = _lock_of(entry)
    lock = FileLock(file)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = file.read_text(encoding="utf-8")
            note(f"process {holder} is making the same ({file}); waiting for it")
            lock.acquire(timeout=WAIT_S)
    except Timeout:
        raise TuneserveError(
            f"process {holder} makes the same ({file}), and was not done within {WAIT_S / 60:.0f} minutes",
            f"wait for it, or end it (`kill {holder}`), then run the same command",
        ) from None
    try:
        file.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()


def forget_old(root: Path, keep: Path, most: int = _ENTRIES) -> None:
    """Keeps the `most` entries of `root` that were used last, and `keep`; a cache is no archive.

    Others' files stay, and so does an entry that another command makes or extends (`alone`).
    """
    ages = {}
    for entry in root.iterdir():
        with suppress(FileNotFoundError):  # another process has just removed it
            if _KEY.fullmatch(entry.name):
                ages[entry] = entry.stat().st_mtime
    for entry in sorted(ages, key=ages.__getitem__, reverse=True)[most:]:
        if entry == keep:
            continue
        if entry.is_dir():
            # Half of an entry, which a kill would leave, must not be found under its name.
            with suppress(OSError), FileLock(_lock_of(entry), timeout=0):  # a Timeout is one
                entry.rename(root / f".{entry.name}.{os.getpid()}.gone")
        else:
            entry.unlink(missing_ok=True)
    for left in root.glob(".*.gone"):
        shutil.rmtree(left, ignore_errors=True)


def _lock_of(entry: Path) -> Path:
    return entry.with_name(f".{entry.name}.lock")

"""The project's own cache folder: what is kept there may be thrown away, and is read by its owner's commands alone."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from configs.console import note
from configs.errors import ConfigError, TuneserveError
from configs.homes import home

_ENTRIES = 8
"""Entries that `forget_old` keeps."""
_OURS = frozenset({"data", "hashes", "selfmade", "torchinductor", "unsloth_compiled", "words"})
"""Everything that lies in a cache folder of its own."""
WAIT_S = 3600.0
"""How long another command is waited for that makes the entry which is needed."""
_KEY = re.compile(r"[0-9a-f]{32,}")
"""Names of entries: hashes. TUNESERVE_CACHE may name a folder that holds more than the cache, under the same names."""


def cache_root() -> Path:
    """The project's cache folder: TUNESERVE_CACHE, else tuneserve/ in the user's cache folder."""
    if named := os.environ.get("TUNESERVE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "tuneserve"


def private_cache(name: str) -> Path:
    """A folder of the cache that nobody else can write to, made where it is missing; see `private_folder`."""
    return private_folder(cache_root() / name)


def private_folder(folder: Path) -> Path:
    """A folder that nobody else can write to, as little as to the one that it lies in, made where it is missing.

    What lies there is believed (compiled code, word lists, hashes), so that a folder which somebody else could fill is
    refused. One that holds nothing but the cache is closed to others.

    Raises:
        ConfigError: it is a link or somebody else's, or others can write to it and it holds more than a cache.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    alone = all(entry.name in _OURS for entry in folder.parent.iterdir())
    for place in (folder.parent, folder):
        found = place.lstat()
        # A cache folder that the user linked to another disk is the user's own word; what lies in it is not a link.
        if place == folder.parent and stat.S_ISLNK(found.st_mode):
            found = place.stat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.getuid(), 0):
            raise ConfigError(
                f"{place}: the cache folder is a link or belongs to another user (uid {found.st_uid})",
                "set TUNESERVE_CACHE to a folder of your own",
            )
        if not found.st_mode & 0o022 or found.st_uid != os.getuid():
            continue
        if alone:
            try:
                place.chmod(found.st_mode & ~0o022 & 0o7777)
            except OSError as error:
                raise ConfigError(
                    f"{place}: others can write to it, and its disk knows no permissions ({error.strerror})",
                    "set TUNESERVE_CACHE to a folder on another disk",
                ) from error
        elif place == folder or not found.st_mode & stat.S_ISVTX:  # where it is set nobody moves what is another's
            raise ConfigError(
                f"{place}: others can write to it, and the cache is not all that lies in {folder.parent}",
                "set TUNESERVE_CACHE to a folder of its own",
            )
    return folder


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

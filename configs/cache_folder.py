"""The project's own cache folder: what is kept there may be thrown away, and is read by its owner's commands alone."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from configs.errors import ConfigError
from configs.homes import home

_ENTRIES = 8
"""Folders that `forget_old` keeps."""


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
    refused.

    Raises:
        ConfigError: it belongs to somebody else, or is a link.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        if found.st_mode & 0o022 and found.st_uid == os.getuid():
            place.chmod(found.st_mode & ~0o022 & 0o7777)
    return folder


def forget_old(root: Path, keep: Path) -> None:
    """Keeps the folders in `root` that were used last, and `keep`; a cache is no archive."""
    entries = sorted((f for f in root.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime, reverse=True)
    for entry in entries[_ENTRIES:]:
        if entry != keep:
            shutil.rmtree(entry, ignore_errors=True)

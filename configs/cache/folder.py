"""The project's own cache folder: what is kept there may be thrown away, and is read by its owner's commands alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from configs.disk.homes import home
from configs.errors import ConfigError

_OURS = frozenset({"data", "hashes", "selfmade", "torchinductor", "unsloth_compiled", "words"})
"""Everything that lies in a cache folder of its own."""


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

"""Temporary folders of commands: what a kill leaves of one goes with the next command that needs one."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "tuneserve-temp-"
NEW_S = 60.0
"""A folder this young may not be locked yet."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder in the temporary one for the time of the block, which holds its lock."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another command was quicker, or the disk has no locks
            _remove_abandoned(left)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as made:
        descriptor = os.open(made, os.O_RDONLY)
        try:
            with suppress(OSError):  # a disk without locks, where nobody removes it
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(made)
        finally:
            os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or time.time() - found.st_mtime < NEW_S:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(descriptor)

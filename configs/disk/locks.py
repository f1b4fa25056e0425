"""Locks that go with the process: one command at a time in a folder, and its children hold what it holds.

A lock belongs to an open file, not to a process. A child that is handed the file keeps the lock when its parent is
killed, so that nobody else begins before the child is gone too.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.disk.files import lies_at
from configs.errors import TuneserveError

INHERITED = "TUNESERVE_LOCKS"
"""Environment variable with the descriptors of the locks that a child was handed."""
WAIT_S = 3.0
"""A killed command's child is gone within moments; a lock that is held for longer is somebody's work."""

_held: list[int] = []


@contextmanager
def locked(place: Path, refusal: TuneserveError, *, make: bool = True) -> Iterator[int]:
    """Holds the lock of `place`, a folder or a file that is made for it, for as long as the block runs.

    Gives the descriptor that holds it.

    Args:
        place: what is locked; a file is left where it is, empty.
        refusal: raised when another process holds it, or has removed or replaced what it held meanwhile.
        make: whether a file is made where nothing is; not where a folder is meant, which may have just been renamed.

    Raises:
        TuneserveError: the disk has no locks.
    """
    handed = _handed(place)
    if handed is not None:
        yield handed
        return
    flags = os.O_RDONLY if place.is_dir() else os.O_RDWR | (os.O_CREAT if make else 0)
    try:
        descriptor = os.open(place, flags, 0o666)
    except FileNotFoundError:
        raise refusal from None
    try:
        _acquire(descriptor, place, refusal)
        if not lies_at(descriptor, place):  # nobody else would meet this lock
            raise refusal
        _held.append(descriptor)
        try:
            yield descriptor
        finally:
            _held.remove(descriptor)
    finally:
        # Closing gives up our part only: a child that still lives goes on holding it.
        os.close(descriptor)


def is_locked(place: Path) -> bool:
    """Whether any process holds the lock of `place`; who only looks is in nobody's way, and does not see another."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def held() -> tuple[int, ...]:
    """Descriptors of the locks that this process holds, to be handed to a child."""
    return tuple(_held)


def _acquire(descriptor: int, place: Path, refusal: TuneserveError) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise refusal from None
            time.sleep(0.05)
        except OSError as error:
            raise TuneserveError(
                f"{place}: its disk has no locks ({error.strerror}) to keep two commands from one folder",
                "work on another disk, or have this one mounted with locks",
            ) from error


def _handed(place: Path) -> int | None:
    """The descriptor of the lock, where the process that started this one handed it over."""
    for text in os.environ.get(INHERITED, "").split():
        try:
            if lies_at(int(text), place):
                return int(text)
        except (OSError, ValueError, OverflowError):
            continue  # closed since, or no descriptor at all
    return None

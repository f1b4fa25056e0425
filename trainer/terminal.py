"""Keeps the training stack's own chatter off the terminal: it goes to a log, the project's lines stay."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.disk.files import only_a_file
from configs.errors import TuneserveError
from configs.terminal.console import console, errors, plain

LAST_LINES = 20
"""Lines of the log that are shown with an error nobody foresaw."""
_TURNED: list[tuple[int, int]] = []
"""Where stdout and stderr led before they were turned, the last time last."""


@contextmanager
def chatter_to(log: Path) -> Iterator[None]:
    """What is written to stdout and stderr is appended to `log`; only our own console reaches the terminal.

    The file descriptors are turned, not `sys.stdout`: libraries keep the stream that they find on import, and some
    write from C. An error that is not a TuneserveError is followed on stderr by the log's last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    _flush()
    ours, theirs = console.file, (os.dup(1), os.dup(2))
    begin = log.stat().st_size if log.exists() else 0
    with open(log, "ab", opener=only_a_file) as out, os.fdopen(os.dup(theirs[0]), "w", encoding="utf-8") as terminal:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        console.file = terminal
        _TURNED.append(theirs)
        failed = True
        try:
            yield
            failed = False
        except (TuneserveError, KeyboardInterrupt):
            failed = False
            raise
        finally:
            _flush()
            _TURNED.pop()
            console.file = ours
            for number, stream in zip((1, 2), theirs, strict=True):
                os.dup2(stream, number)
                os.close(stream)
            if failed:
                _show_end(log, begin)


@contextmanager
def as_before() -> Iterator[None]:
    """Inside, stdout and stderr lead where they led before `chatter_to`: for processes that turn theirs themselves."""
    if not _TURNED:
        yield
        return
    log = os.dup(1), os.dup(2)
    _flush()
    for number, stream in zip((1, 2), _TURNED[-1], strict=True):
        os.dup2(stream, number)
    try:
        yield
    finally:
        _flush()
        for number, stream in zip((1, 2), log, strict=True):
            os.dup2(stream, number)
            os.close(stream)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _show_end(log: Path, begin: int) -> None:
    with log.open("rb") as written:
        written.seek(begin)
        lines = written.read().decode("utf-8", errors="replace").splitlines()[-LAST_LINES:]
    if lines:
        errors.print(f"the last lines of {log}:")
        errors.print(plain("\n".join(f"  {line}" for line in lines)))

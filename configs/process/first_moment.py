"""The first moment of a command, in which it imports what it needs and has begun nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_without_a_word() -> Iterator[None]:
    """Inside, Ctrl-C ends this process as a program that handles no signal; where it is ignored it stays ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

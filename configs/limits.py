"""Processor time and memory for a computation that somebody else wrote: a chat template, a pattern over names.

Python runs both within itself, so that nothing else ends a loop in loops or a text without end.
"""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")

# A teaching set is rendered two hundred thousand times, and what the limits add must stay small: the handler of the
# signal is set once, and the memory in use is measured every so many times.
_MEASURED_EVERY = 64


class OutOfTime(BaseException):
    """No Exception, so that nothing between the signal and who set the limit takes it for one of its own."""


class _Limits:
    """A context. The time is the main thread's, the memory the process's: what runs in several threads shares it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds, self._bytes = 0.0, 0
        self._running = self._times = 0
        self._before: tuple[int, int] | None = None
        self._timed = self._handled = False
        self._used = 0

    def __call__(self, seconds: float, extra_bytes: int) -> _Limits:
        """These limits, for a `with`.

        Args:
            seconds: processor time; `OutOfTime` is raised after it.
            extra_bytes: memory beyond what the process has; MemoryError is raised by what would take more.
        """
        self._seconds, self._bytes = seconds, extra_bytes
        return self

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._limit_memory()
            self._running += 1
        if _is_main_thread():
            if not self._handled:
                signal.signal(signal.SIGVTALRM, self._stop)
                self._handled = True
            self._timed = True
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        if _is_main_thread():
            self._timed = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        with self._lock:
            self._running -= 1
            if not self._running and self._before:
                resource.setrlimit(resource.RLIMIT_AS, self._before)
                self._before = None

    def run(self, work: Callable[[], Result], seconds: float, extra_bytes: int) -> Result:
        """What `work` gives within these limits; once more where memory ran out, measured anew.

        The process may have grown by much since its memory was measured. Some C code tells of memory that it did not
        get by a SystemError ("error return without exception set").
        """
        try:
            with self(seconds, extra_bytes):
                return work()
        except (MemoryError, SystemError):
            self._times = 0
            try:
                with self(seconds, extra_bytes):
                    return work()
            except SystemError as lost:
                raise MemoryError from lost

    def _limit_memory(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if self._times % _MEASURED_EVERY == 0:
            with open("/proc/self/statm", "rb") as statm:
                self._used = int(statm.read().split()[0]) * resource.getpagesize()
        self._times += 1
        wanted = self._used + self._bytes
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
            self._before = (soft, hard)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        # It can come when what was timed has just ended.
        if self._timed:
            raise OutOfTime


def _is_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


limits = _Limits()
"""`limits.run(render, 10, 1 << 30)`."""

"""Processor time and memory for a computation that somebody else wrote: a chat template, a pattern over names.

Python runs both within itself, so that nothing else ends a loop in loops or a text without end.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn, TypeVar

from configs.process.child import die_with

Result = TypeVar("Result")


class OutOfTime(BaseException):
    """No Exception, so that nothing between the signal and who set the limit takes it for one of its own."""


class _Limits:
    """A context. The time is the main thread's, the memory the process's: what runs in several threads shares it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds, self._bytes = 0.0, 0
        self._running = 0
        self._before: tuple[int, int] | None = None
        self._timed = self._handled = False

    def __call__(self, seconds: float, extra_bytes: int) -> _Limits:
        """These limits, for a `with`.

        Args:
            seconds: processor time; `OutOfTime` is raised after it. 0 sets no limit.
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
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                self._handled = True
            self._timed = True
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)
            # C code that looks at no signal ends with the process; who started that says so.
            signal.setitimer(signal.ITIMER_PROF, 2 * self._seconds)

    def __exit__(self, *_: object) -> None:
        if _is_main_thread():
            self._timed = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
        with self._lock:
            self._running -= 1
            if not self._running and self._before:
                resource.setrlimit(resource.RLIMIT_AS, self._before)
                self._before = None

    def run(self, work: Callable[[], Result], seconds: float, extra_bytes: int) -> Result:
        """What `work` gives within these limits.

        Raises:
            OutOfTime, MemoryError: a limit was reached. Some C code tells of memory that it did not get by a
                SystemError ("error return without exception set"), which becomes a MemoryError here.
        """
        try:
            with self(seconds, extra_bytes):
                return work()
        except SystemError as lost:
            raise MemoryError from lost

    def _limit_memory(self) -> None:
        # Measured each time: a limit below what the process has grown to would fail anything that it does, and memory
        # that runs out in the middle of Python's own work may leave Python broken.
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = _bytes_in_use() + self._bytes
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
            self._before = (soft, hard)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        # It can come when what was timed has just ended.
        if self._timed:
            raise OutOfTime


def apart(work: Callable[[], Result], seconds: float, extra_bytes: int) -> Result:
    """What `work` gives in a forked process of its own within these limits; it is pickled on its way back.

    For a process that goes on afterwards: memory that ran out may leave Python itself broken, and some C code looks at
    no signal. Here both end with the process that was forked.

    Args:
        seconds: processor time.
        extra_bytes: memory beyond what this process has.

    Raises:
        OutOfTime: the time was up.
        MemoryError: the memory was, or the process ended in some other way without an answer.
        Exception: what `work` raised.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    parent, child = os.getpid(), os.fork()
    if not child:
        _answer(work, seconds, extra_bytes, sender, parent)
    sender.close()
    try:
        value, raised = receiver.recv()
    except EOFError as error:
        _, status = os.waitpid(child, 0)
        child = 0
        by_clock = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
        raise (OutOfTime if by_clock else MemoryError)() from error
    finally:
        receiver.close()
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if raised is not None:
        raise raised
    return value


def _answer(work: Callable[[], Any], seconds: float, extra_bytes: int, sender: Connection, parent: int) -> NoReturn:
    try:
        die_with(parent)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # `limits` has a clock and a signal of its own
        signal.setitimer(signal.ITIMER_PROF, seconds)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_bytes_in_use() + extra_bytes, hard))
        answer: tuple[Any, Exception | None]
        try:
            answer = work(), None
        except MemoryError:
            os._exit(1)
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
            answer = None, error
        sender.send(answer)
    finally:
        os._exit(0)


_statm = (0, -1)
"""(process, descriptor) of its open /proc/self/statm: a teaching set is rendered two hundred thousand times."""


def _bytes_in_use() -> int:
    """Address space of this process."""
    global _statm
    process, descriptor = _statm
    if process != os.getpid():
        descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        _statm = (os.getpid(), descriptor)
    return int(os.pread(descriptor, 64, 0).split()[0]) * resource.getpagesize()


def _is_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


limits = _Limits()
"""`limits.run(render, 10, 1 << 30)`."""

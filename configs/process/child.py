"""Child processes that end with their parent, and signals that end a process in order.

The parent starts a child with `run_child`; the child calls `end_with_parent` before anything else. Should the parent
die in any way, SIGKILL included, the kernel kills the child (PR_SET_PDEATHSIG); where a kernel does not, the end of a
pipe that only the parent holds tells a thread of the child.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from configs.disk import locks

PARENT = "TUNESERVE_PARENT"
"""Environment variable with the child's end of the pipe, and the parent's id."""
ENDS_WITHIN_S = 20.0
"""A child that was asked to end has this long before it is killed."""
_TOGETHER_S = 1.0
"""Ctrl-C reaches parent and child, and the parent passes it on: signals this close together are one wish."""
_PR_SET_PDEATHSIG = 1


class Ended(KeyboardInterrupt):
    """A signal asked this process to end; unwinds like Ctrl-C, so that everything is cleared up on the way."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def hear_signals() -> None:
    """Hears when a child ends, and who asks this process to end, whatever the program that started it has set.

    Who ignores SIGCHLD hands that on, and each child that fails would be seen to end with 0. What is ignored otherwise
    (`nohup`) stays ignored.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@contextmanager
def ending_in_order(*numbers: int) -> Iterator[list[int]]:
    """Inside, these signals raise `Ended` in the main thread; those that are ignored (`nohup`) stay ignored.

    Gives the list of those that came, for who finds that a library turned `Ended` into an end of its own.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    last = -_TOGETHER_S

    def wish(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TOGETHER_S:
            last = now
            came.append(number)
            raise Ended(number)

    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, wish)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # `run_child` has it wait until here
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_child(command: Sequence[str], environment: dict[str, str]) -> int:
    """Runs a command on this terminal and returns its exit code, negative for a signal.

    It is handed the locks that this process holds. Whatever interrupts the wait asks it to end in order, and kills it
    when it does not, or when a second interruption comes.
    """
    its, ours = os.pipe()  # the child reads, and finds the end when nobody can write any more
    try:
        handed = locks.held()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the child's, too, until it can end in order
        child = subprocess.Popen(
            command,
            env=environment
            | {PARENT: f"{its} {os.getpid()}", locks.INHERITED: " ".join(map(str, handed)), "PYTHONUNBUFFERED": "1"},
            pass_fds=(its, *handed),
        )
        os.close(its)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            return child.wait()
        except BaseException:
            try:
                end(child, ENDS_WITHIN_S)
            finally:  # of no effect on one that has ended; a second interruption waits no longer
                child.kill()
                child.wait()
            raise
    finally:
        os.close(ours)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def end_with_parent() -> None:
    """Ends this process when the one that started it by `run_child` is gone; does nothing in any other process."""
    given = os.environ.pop(PARENT, None)
    if given is None:
        return
    pipe, parent = map(int, given.split())
    threading.Thread(target=_watch, args=(pipe,), daemon=True).start()
    die_with(parent)


def die_with(parent: int) -> None:
    """Has the kernel kill this process when `parent`, which must have started it, ends."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above took effect
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def end(child: subprocess.Popen[bytes], within_s: float) -> None:
    """Asks a process that this one started to end in order, and kills it when it does not within `within_s` seconds."""
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(within_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)

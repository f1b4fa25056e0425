"""A process under the guardian: started, watched, stopped, or handed over to another process of ours."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from configs.disk.files import only_a_file
from configs.errors import TuneserveError
from serve.process import guardian
from serve.state.port_lock import PortLock

MARK_VARIABLE = "TUNESERVE_PROCESS"
"""Environment variable by which everything that a process has started can be found again."""
GUARDIAN = (sys.executable, "-I", "-S", guardian.__file__)
ORPHAN_GRACE_S = 5.0
"""What the process gets to end in order when our own process died."""


@dataclass(frozen=True)
class Handle:
    """What another process needs to take over: pass its descriptors on with `subprocess`'s `pass_fds`."""

    pid: int
    """Leader of the process group."""
    guardian_pid: int
    """Its guardian."""
    control_fd: int
    """Pipe that the guardian reads; its end means stop."""
    reports_fd: int
    """Pipe that the guardian writes."""
    mark: str
    """Value of `MARK_VARIABLE` in the environment of everything that it started."""
    lock_fd: int
    """Lock of its port; its guardian has it too."""

    @property
    def descriptors(self) -> tuple[int, int, int]:
        """What to pass on."""
        return self.control_fd, self.reports_fd, self.lock_fd


class GuardedProcess:
    """A running process group of which nothing is left when it ends, or when we do.

    Made by `start` or `adopt`.
    """

    def __init__(
        self, guardian_pid: int, control_fd: int, reports_fd: int, mark: str, pid: int | None, lock: PortLock
    ) -> None:
        self.pid = pid
        """Leader, process group and session; None until the guardian has started it."""
        self.exit_code: int | None = None
        """How the leader ended, negative for a signal; None while it runs."""
        self._mark = mark
        self._lock = lock
        self._guardian_pid = guardian_pid
        self._control_fd = control_fd
        self._reports_fd = reports_fd
        self._popen: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._ended = threading.Event()
        self._started = threading.Event()
        self._release_read, self._release_write = os.pipe()
        self._listener = threading.Thread(target=self._listen, daemon=True)

    @classmethod
    def start(cls, argv: Sequence[str], env: Mapping[str, str], log: Path, lock: PortLock) -> GuardedProcess:
        """Starts `argv` with its output appended to the log; its guardian holds the port's lock until nothing is left.

        Raises:
            TuneserveError: it cannot be started.
        """
        mark = uuid.uuid4().hex
        # Our own standard error must be free to close when we hand the process over.
        with open(log, "ab", opener=only_a_file) as errors:
            popen = subprocess.Popen(
                [*GUARDIAN, str(ORPHAN_GRACE_S), str(log), str(lock.descriptor), "--", *argv],
                env={**env, MARK_VARIABLE: mark},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=(lock.descriptor,),
                # In a session of its own the terminal's Ctrl-C does not reach it: we decide how it ends.
                start_new_session=True,
            )
        assert popen.stdin is not None
        assert popen.stdout is not None
        process = cls(popen.pid, os.dup(popen.stdin.fileno()), os.dup(popen.stdout.fileno()), mark, None, lock)
        popen.stdin.close()
        popen.stdout.close()
        process._popen = popen
        process._listener.start()
        process._started.wait(30)
        if process.pid is None:
            process.stop(0)
            raise TuneserveError(f"{argv[0]} could not be started", f"see {log}")
        return process

    @classmethod
    def adopt(cls, handle: Handle, lock: PortLock) -> GuardedProcess:
        """Takes over a process that another process of ours has started and handed over."""
        process = cls(handle.guardian_pid, handle.control_fd, handle.reports_fd, handle.mark, handle.pid, lock)
        process._listener.start()
        return process

    def hand_over(self) -> Handle:
        """Stops listening and returns what `adopt` needs; close the descriptors once the other process has them."""
        assert self.pid is not None
        os.write(self._release_write, b".")
        self._listener.join()
        fds = self._control_fd, self._reports_fd
        return Handle(self.pid, self._guardian_pid, *fds, self._mark, os.dup(self._lock.descriptor))

    @property
    def alive(self) -> bool:
        """Whether the leader runs."""
        return not self._ended.is_set()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits for the end and returns the leader's exit code; None when the time is up first."""
        return self.exit_code if self._ended.wait(timeout_s) else None

    def stop(self, grace_s: float) -> None:
        """SIGTERM to the leader, a wait, SIGKILL for what is left; returns when nothing is left."""
        if self._stopped:
            return
        with suppress(BrokenPipeError):  # the guardian may have ended before us, and the process with it
            os.write(self._control_fd, f"stop {grace_s}\n".encode())
        if not self._ended.wait(grace_s + guardian.KILL_WAIT_S + 5):
            os.kill(self._guardian_pid, signal.SIGKILL)  # the listener kills the group then
            self._ended.wait()
        if self._popen is not None:
            self._popen.wait()
        self._stopped = True
        self._listener.join()
        for descriptor in (self._control_fd, self._reports_fd, self._release_read, self._release_write):
            os.close(descriptor)

    def _listen(self) -> None:
        """Reads what the guardian reports, in a thread of its own, until the guardian is gone or we are released."""
        pending = b""
        while True:
            ready, _, _ = select.select([self._reports_fd, self._release_read], [], [])
            if self._release_read in ready:
                return
            data = os.read(self._reports_fd, 4096)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                word, value = line.split()
                if word == b"pid":
                    self.pid = int(value)
                    self._started.set()
                else:
                    self.exit_code = int(value)
        if self.exit_code is None:
            # The guardian was killed. The kernel has killed what was tied to it; the rest is ours to clear away.
            _clear_away(self.pid, self._mark)
            guardian.sweep()
            self.exit_code = -signal.SIGKILL
        self._started.set()
        self._ended.set()


def _clear_away(leader: int | None, mark: str) -> None:
    """Kills everything that a guardian left when it was killed, and returns when nothing is left."""
    while left := [process for process in psutil.process_iter() if _belongs(process, leader, mark)]:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.05)


def _belongs(process: psutil.Process, leader: int | None, mark: str) -> bool:
    """Whether a process is of the leader's session, or has our mark.

    A process may leave the session, or write over its environment (a title does); nothing of vLLM's does both.
    """
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return os.getsid(process.pid) == leader or process.environ().get(MARK_VARIABLE) == mark
    except (psutil.Error, OSError):  # another user's, or gone
        return False

"""The process between us and vLLM: it starts vLLM and leaves nothing of it behind, however any of the three dies.

    python -I -S guardian.py GRACE_S LOG -- PROGRAM ARGUMENT...

Standard library only, because it must start in milliseconds and need nothing.

- Its standard input is a pipe that our process holds. The line `stop GRACE_S` asks for an orderly end; the end of the
  pipe, which the kernel brings about when our process dies in any way, means the same with the default grace.
- It starts vLLM in a session of its own and reports `pid N`, and later `exit CODE`, on its standard output.
- It is the reaper of vLLM's orphans (PR_SET_CHILD_SUBREAPER), so a killed leader's engine processes become its
  children, whatever session they are in, and it kills them.
- Should it be killed itself, the kernel sends SIGTERM to vLLM's leader (PR_SET_PDEATHSIG), and our process, when it is
  still there, kills the rest of the group.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.1
KILL_WAIT_S = 10.0


def main() -> NoReturn:
    """Runs until vLLM and everything that it started are gone."""
    grace_s, log, program = float(sys.argv[1]), sys.argv[2], sys.argv[4:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake = _wake_on_signals()
    leader = _start(program, log, libc)
    _say(f"pid {leader}")
    code = _watch(leader, wake, grace_s)
    _clear_away(leader)
    _say(f"exit {code}")
    sys.exit(0)


def _start(program: list[str], log: str, libc: ctypes.CDLL) -> int:
    """Forks and execs vLLM as the leader of a new session, with its output in the log."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # the guardian died before the line above took effect
            os._exit(1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        os.execvp(program[0], program)
    except OSError as error:
        os.write(2, f"cannot start {program[0]}: {error}\n".encode())
    os._exit(127)


def _watch(leader: int, wake: int, grace_s: float) -> int:
    """Waits for the leader's end, passing on a wish to stop; returns its exit code, negative for a signal."""
    deadline: float | None = None
    inputs = [0, wake]
    while True:
        code = _reap(leader)
        if code is not None:
            return code
        if deadline is not None and time.monotonic() > deadline:
            _signal_group(leader, signal.SIGKILL)
        ready, _, _ = select.select(inputs, [], [], None if deadline is None else POLL_S)
        wish: float | None = None
        if wake in ready and any(n != signal.SIGCHLD for n in os.read(wake, 64)):
            wish = grace_s
        if 0 in ready:
            line = os.read(0, 256)
            if not line:
                inputs = [wake]
                wish = grace_s
            elif line.startswith(b"stop"):
                wish = float(line.split()[1])
        if wish is not None:
            # A second wish may shorten the wait, never lengthen it.
            until = time.monotonic() + wish
            if deadline is None:
                _signal(leader, signal.SIGTERM)
            deadline = until if deadline is None else min(deadline, until)


def _clear_away(leader: int) -> None:
    """Kills what the leader left: its group, and every orphan that became ours."""
    give_up = time.monotonic() + KILL_WAIT_S
    while time.monotonic() < give_up:
        _signal_group(leader, signal.SIGKILL)
        children = _children()
        for child in children:
            _signal(child, signal.SIGKILL)
        while _reap(-1) is not None:
            pass
        if not children and not _group_lives(leader):
            return
        time.sleep(0.02)


def _reap(pid: int) -> int | None:
    """Exit code of a child that has ended; None where it has not, or there is none."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found else None


def _children() -> list[int]:
    me = os.getpid()
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == me]


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it ended while we looked
        return None
    return int(stat.rpartition(")")[2].split()[1])


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


def _group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def _wake_on_signals() -> int:
    """A file descriptor that becomes readable when a signal arrives, so that `select` sees signals, pipe and child."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return read_end


def _say(line: str) -> None:
    try:
        os.write(1, f"{line}\n".encode())
    except BrokenPipeError:  # our process is gone; nobody is left to hear it
        return


if __name__ == "__main__":
    main()

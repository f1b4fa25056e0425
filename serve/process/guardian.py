"""The process between us and vLLM: it starts vLLM and leaves nothing of it behind, however any of the three dies.

    python -I -S guardian.py GRACE_S LOG LOCK_FD -- PROGRAM ARGUMENT...

Standard library only, because it must start in milliseconds and need nothing.

- Its standard input is a pipe that our process holds. The line `stop GRACE_S` asks for an orderly end; the end of the
  pipe, which the kernel brings about when our process dies in any way, means the same with the default grace.
- It starts vLLM in a session of its own and reports `pid N`, and later `exit CODE`, on its standard output.
- It is the reaper of vLLM's orphans (PR_SET_CHILD_SUBREAPER), so a killed leader's engine processes become its
  children, whatever session they are in, and it kills them.
- Should it be killed itself, the kernel kills vLLM's leader (PR_SET_PDEATHSIG) and every Python process that vLLM has
  started (see `tether/`), whether our process is still there or not.
- vLLM gets a temporary folder of its own for its sockets, which goes with it.
- It holds LOCK_FD, the lock of vLLM's port, until nothing of vLLM is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import shutil
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.1
KILL_WAIT_S = 10.0
FOLDER_PREFIX = "tuneserve-serve-"
LONGEST_SOCKET = 107
"""Bytes in the path of a Unix socket."""
NEW_FOLDER_S = 60.0
"""A folder without a pipe may be one that is being made; after this long it is not."""


def main() -> NoReturn:
    """Runs until vLLM and everything that it started are gone."""
    grace_s, log, lock_fd, program = float(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[5:]
    os.set_inheritable(lock_fd, False)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake = _wake_on_signals()
    sweep()
    folder = _make_folder()
    try:
        leader = _start(program, log, libc, _environment(folder))
        _say(f"pid {leader}")
        code = _watch(leader, wake, grace_s)
        _clear_away(leader)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _say(f"exit {code}")
    sys.exit(0)


def sweep() -> None:
    """Removes the temporary folders of servers of which nothing is left."""
    for parent in {tempfile.gettempdir(), "/tmp"}:
        for folder in Path(parent).glob(f"{FOLDER_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):  # another sweep was quicker
                if _is_abandoned(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether a folder is ours, and nobody holds an end of its pipe."""
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        return False
    try:
        os.close(os.open(folder / "tether", os.O_WRONLY | os.O_NONBLOCK))
    except FileNotFoundError:
        return time.time() - found.st_mtime > NEW_FOLDER_S
    except OSError as error:
        return error.errno == errno.ENXIO  # the pipe has no reader; the guardian itself is one
    return False


def _make_folder() -> str:
    """A temporary folder for this server, with the pipe whose writing end this process holds from now on."""
    room = LONGEST_SOCKET - len(f"/{FOLDER_PREFIX}12345678/") - len("2c6df924-0575-4aa1-b21b-09b1044b58e3")
    parent = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent if len(os.fsencode(parent)) <= room else "/tmp")
    os.mkfifo(f"{folder}/new", 0o600)
    os.open(f"{folder}/new", os.O_RDWR | os.O_NONBLOCK)  # never closed: its end is the end of this process
    os.rename(f"{folder}/new", f"{folder}/tether")  # a pipe of that name that nobody holds is for the next sweep
    return folder


def _environment(folder: str) -> dict[str, str]:
    """vLLM's environment: tied to this process, and with its temporary files in the folder."""
    tether = str(Path(__file__).with_name("tether"))
    caches = Path(os.path.expanduser(os.environ.get("VLLM_CACHE_ROOT") or "~/.cache/vllm"))
    defaults = {
        # What outlives a server must not move with its temporary files, nor lie where every user could have put it.
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "torchinductor"),
        "RAY_TMPDIR": tempfile.gettempdir(),
    }
    return {
        **defaults,
        **os.environ,
        "TMPDIR": folder,
        "VLLM_RPC_BASE_PATH": folder,
        "TUNESERVE_TETHER": f"{folder}/tether",
        "PYTHONPATH": os.pathsep.join(filter(None, [tether, os.environ.get("PYTHONPATH")])),
    }


def _start(program: list[str], log: str, libc: ctypes.CDLL, env: dict[str, str]) -> int:
    """Forks and execs vLLM as the leader of a new session, with its output in the log."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the guardian died before the line above took effect
            os._exit(1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        os.execvpe(program[0], program, env)
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
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # its name is any bytes: a Chinese one is cut after the 15th
    except OSError:  # it ended while we looked
        return None
    return int(stat.rpartition(b")")[2].split()[1])


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

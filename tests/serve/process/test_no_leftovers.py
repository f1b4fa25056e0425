"""Whatever dies, and whenever: no process is left and no port is held.

TUNESERVE_KILLS sets how many kills are drawn (default 12; each takes a second).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path

import psutil
import pytest

from serve.launch.ports import bind_error
from serve.process import guardian
from tests.processes import command_of
from tests.serve.fakes import free_port, gone, running

MOMENTS = ("start", "ready", "load")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
VICTIMS = ("supervisor", "leader", "guardian")
TOGETHER = [group for size in (2, 3) for group in itertools.combinations(VICTIMS, size)]


def until_titled(marker: str) -> None:
    deadline = time.monotonic() + 30
    while sum("FAKE::" in command_of(p) for p in running(marker)) < 2:
        assert time.monotonic() < deadline, "the fake did not start its engine and worker"
        time.sleep(0.01)


def ask(port: int) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/slow", data=b"{}")
    try:
        urllib.request.urlopen(request, timeout=5).read()
    except OSError:
        return  # the server is being killed; lost answers are not what is tested


def victim_pid(which: str, supervisor: int, marker: str) -> int:
    """Finds the process to kill; the guardian is the leader's parent."""
    if which == "supervisor":
        return supervisor
    leader = next(p for p in running(marker) if "fake_vllm.py" in command_of(p) and _is_leader(p))
    return leader.pid if which == "leader" else leader.ppid()


def _is_leader(process: psutil.Process) -> bool:
    return not any(word in command_of(process) for word in ("guardian.py", "supervise_fake"))


@pytest.mark.parametrize("seed", range(int(os.environ.get("TUNESERVE_KILLS", "12"))))
def test_nothing_is_left_after_a_kill_at_a_random_moment(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    draw = random.Random(seed)
    every = list(itertools.product(MOMENTS, SIGNALS))
    moment, number = every[seed % len(every)]
    kill_and_look((draw.choices(VICTIMS, (2, 2, 1))[0],), moment, number, draw, tmp_path, monkeypatch)


@pytest.mark.parametrize("moment", ["start", "ready"])
@pytest.mark.parametrize("victims", [("guardian",), *TOGETHER], ids="+".join)
def test_nothing_is_left_when_several_are_killed_together(
    victims: tuple[str, ...], moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where none of ours is left to clear away, the kernel does."""
    kill_and_look(victims, moment, signal.SIGKILL, random.Random(0), tmp_path, monkeypatch, titled=True)


def kill_and_look(
    victims: tuple[str, ...],
    moment: str,
    number: signal.Signals,
    draw: random.Random,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    titled: bool = False,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    port, marker = free_port(), f"marker-{uuid.uuid4().hex}"
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "tests.serve.process.supervise_fake", str(tmp_path / "serve.log"), str(port), marker],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert supervisor.stdout is not None
        if moment == "start":
            deadline = time.monotonic() + 30
            while not any(map(_is_leader, running(marker))) and time.monotonic() < deadline:
                time.sleep(0.01)
            if titled:  # later: engine and worker are there, and have written over their environment
                until_titled(marker)
            else:
                time.sleep(draw.uniform(0, 0.3))
        else:
            assert supervisor.stdout.readline().startswith("ready")
        if moment == "load":
            for _ in range(8):
                threading.Thread(target=ask, args=(port,), daemon=True).start()
            time.sleep(draw.uniform(0, 0.5))
        for pid in [victim_pid(which, supervisor.pid, marker) for which in victims]:
            with contextlib.suppress(ProcessLookupError):  # it went with the one before it
                os.kill(pid, number)
        supervisor.wait(30)
        left = gone(marker)
        assert not left, f"{moment}, {number.name} to {victims}: {[command_of(p) for p in left]}"
        assert bind_error("127.0.0.1", port) is None
    finally:
        supervisor.kill()
        supervisor.wait()
        for process in running(marker):
            process.kill()


def test_a_process_of_any_name_beside_it_is_no_reason_to_leave_something():
    """A Chinese name is cut after its 15th byte, in the middle of a letter."""
    named = "import ctypes, time; ctypes.CDLL(None).prctl(15, 'a数据处理程'.encode(), 0, 0, 0)"
    pause = f"{random.Random().uniform(600, 700):.9f}"
    program = ["bash", "-c", f"setsid sleep {pause} & sleep {pause}"]
    with (
        subprocess.Popen([sys.executable, "-c", f"{named}; print(flush=True); time.sleep(60)"], stdout=-1) as beside,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock,
        subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, "3", os.devnull, str(lock.fileno()), "--", *program],
            stdin=-1,
            stdout=-1,
            pass_fds=[lock.fileno()],
        ) as guard,
    ):
        for started in (beside, guard):
            assert started.stdout is not None
            started.stdout.readline()
        time.sleep(0.2)
        assert b"exit " in guard.communicate(b"stop 1\n", timeout=30)[0]
        beside.kill()
    left = [p for p in psutil.process_iter(["cmdline"]) if pause in (p.info["cmdline"] or ())]
    for process in left:
        process.kill()
    assert not left

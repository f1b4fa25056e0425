"""Random kills of the real CPU server and of its supervisor: nothing is left, whatever dies and whenever.

TUNESERVE_KILLS sets how many (default 1; each takes about half a minute).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from serve.launch.command import installed_device
from serve.launch.ports import bind_error
from tests.processes import lives
from tests.quick_start.sitecustomize import AS_EVER
from tests.serve.fakes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

VARIABLE = "TUNESERVE_TEST_MARK"

VICTIMS = (
    *(("supervisor",), ("leader",), ("guardian",), ("supervisor", "guardian"), ("guardian", "leader")),
    *(("supervisor", "leader"), ("supervisor", "guardian", "leader")),
)

SUPERVISE = """
import sys
from pathlib import Path
from configs.recipe.schema import ServeConfig
from serve.launch.command import build_command
from serve.process.supervisor import Supervisor, stop_on_signals
from serve.launch.target import folder_target
model, port, folder = sys.argv[1:]
command = build_command(folder_target(model, "tiny", False), ServeConfig(port=int(port)))
supervisor = Supervisor(command, Path(folder), Path(folder) / "serve.log", max_restarts=0)
with stop_on_signals(supervisor):
    server = supervisor.start()
    print("ready", flush=True)
    supervisor.watch(server)
"""


def marked(mark: str) -> list[psutil.Process]:
    """Everything that inherited the mark and is not a zombie."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def role(process: psutil.Process) -> str:
    """What a process of a server is for."""
    words = process.cmdline()
    if any(word.endswith("guardian.py") for word in words):
        return "guardian"
    return "leader" if "vllm.entrypoints.openai.api_server" in words else "engine"


def alive_of(family: list[psutil.Process], sessions: set[int]) -> list[psutil.Process]:
    """Which of some processes still run, and all others of their sessions; a title hides the mark, but not these."""
    found = [process for process in family if lives(process)]
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def load(port: int) -> None:
    """Long answers, asked for by eight clients at once."""
    import urllib.request

    body = b'{"model": "tiny", "prompt": [1, 2, 3], "max_tokens": 900, "ignore_eos": true}'
    headers = {"Content-Type": "application/json"}

    def ask() -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", body, headers)
        try:
            urllib.request.urlopen(request, timeout=60).read()
        except OSError:
            return  # the server is killed while it answers

    for _ in range(8):
        threading.Thread(target=ask, daemon=True).start()


@pytest.mark.parametrize("seed", range(int(os.environ.get("TUNESERVE_KILLS", "1"))))
def test_nothing_is_left_of_a_real_server(seed: int, demo_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if installed_device() != "cpu":
        pytest.skip("starts the CPU build of vLLM")
    draw = random.Random(seed)
    moment = ("load", "start", "ready")[seed % 3]
    number = draw.choice((signal.SIGTERM, signal.SIGINT, signal.SIGKILL))
    victims = draw.choice(VICTIMS)
    mark, port = uuid.uuid4().hex, free_port()
    monkeypatch.setenv(VARIABLE, mark)
    monkeypatch.setenv(AS_EVER, "1")
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(demo_model), str(port), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    family, sessions = [], set[int]()
    try:
        assert supervisor.stdout is not None
        if moment == "start":
            time.sleep(draw.uniform(2, 18))
        else:
            assert supervisor.stdout.readline() == "ready\n"
        if moment == "load":
            load(port)
            time.sleep(draw.uniform(0.2, 2))
        family = [psutil.Process(supervisor.pid), *psutil.Process(supervisor.pid).children(recursive=True)]
        sessions = {os.getsid(process.pid) for process in family[1:]}
        roles = {role(process): process for process in reversed(family[1:])} | {"supervisor": family[0]}
        for victim in victims:
            with suppress(KeyError, psutil.NoSuchProcess):  # not there yet, or gone with the one before it
                roles[victim].send_signal(number)
        supervisor.wait(60)
        deadline = time.monotonic() + 30
        while (left := [*marked(mark), *alive_of(family, sessions)]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, f"{moment}, {number.name} to {victims}: {left}"
        assert bind_error("127.0.0.1", port) is None
    finally:
        supervisor.kill()
        supervisor.wait()
        for process in [*marked(mark), *alive_of(family, sessions)]:
            process.kill()

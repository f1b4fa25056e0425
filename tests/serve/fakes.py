"""The fake vLLM as a command, free ports, and a look at what is still running."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import psutil

from serve.launch.command import ServerCommand
from serve.launch.target import Target

FAKE = Path(__file__).with_name("fake_vllm.py")


def fake_command(port: int, marker: str, *flags: str) -> ServerCommand:
    """A command that starts the fake in place of vLLM."""
    target = Target(weights=FAKE.parent, names=("fake",))
    argv = (sys.executable, str(FAKE), "--marker", marker, "--port", str(port), *flags)
    return ServerCommand(argv, {}, "127.0.0.1", port, target, ("fake",), "cpu")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running(marker: str) -> list[psutil.Process]:
    """Processes that carry the marker on their command line, zombies left out."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if marker in " ".join(process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def gone(marker: str, within_s: float = 20) -> list[psutil.Process]:
    """Waits until nothing with the marker runs; returns what still does when the time is up."""
    deadline = time.monotonic() + within_s
    while (left := running(marker)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left

"""Every Python process of a server ends with its guardian, by the kernel alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serve.process import tether
from tests.processes import lives

FOLDER = str(Path(tether.__file__).parent)
BUSY = "while True: pass"
"""A loop that never gives another thread of its process a chance to act in time."""

WORK = """
import os, time
from setproctitle import setproctitle
def work():
    os.setsid()
    setproctitle("hidden")
    print(os.getpid(), flush=True)
    time.sleep(60)
"""
START = "    mp.get_context('{}').Process(target=work.work).start()\n    time.sleep(60)"


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    os.mkfifo(tmp_path / "tether")
    return tmp_path / "tether"


def start(code: str, pipe: Path, *more: str) -> subprocess.Popen[str]:
    env = {**os.environ, "TUNESERVE_TETHER": str(pipe), "PYTHONPATH": os.pathsep.join([FOLDER, *more])}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_it_dies_with_the_writing_end_whatever_it_is_doing(pipe: Path):
    guardian = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    hold = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
    process = start(f"{hold}\nprint('up', flush=True)\n{BUSY}", pipe)
    assert said(process) == "up"
    os.close(guardian)
    assert process.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_so_do_its_children_however_they_are_started(method: str, pipe: Path, tmp_path: Path):
    guardian = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    (tmp_path / "work.py").write_text(WORK)
    code = f"import multiprocessing as mp, work, time\nif __name__ == '__main__':\n{START.format(method)}"
    process = start(code, pipe, str(tmp_path))
    child = psutil.Process(int(said(process)))
    os.close(guardian)
    assert process.wait(5) == -signal.SIGKILL
    _, alive = psutil.wait_procs([child], 5)
    assert not [p for p in alive if lives(p)]


def test_one_that_starts_too_late_ends_at_once(pipe: Path, tmp_path: Path):
    assert start("print('up')", pipe).wait(10) == -signal.SIGKILL  # nobody holds the writing end
    assert start("print('up')", tmp_path / "gone").wait(10) == -signal.SIGKILL


def test_the_environments_own_sitecustomize_runs_too(pipe: Path, tmp_path: Path):
    guardian = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.own = 'own ran'\n")
    process = start("import sys\nprint(own, sys.modules['sitecustomize'].__file__, flush=True)", pipe, str(tmp_path))
    assert said(process) == f"own ran {tmp_path / 'sitecustomize.py'}"
    assert process.wait(10) == 0
    os.close(guardian)


def test_without_a_guardian_it_does_nothing():
    ran = subprocess.run([sys.executable, "-c", "print('up')"], env={**os.environ, "PYTHONPATH": FOLDER}, check=True)
    assert ran.returncode == 0

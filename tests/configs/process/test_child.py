"""Children end with their parent, however that ends, and hold its locks until they are gone."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from configs.disk.locks import locked
from configs.errors import TuneserveError
from tests.processes import lives

ROOT = Path(__file__).parents[3]

# A child that works until it is ended, and writes down how; its parent holds a lock.
CHILD = """
import signal, sys, time
from pathlib import Path
from configs.process.child import Ended, end_with_parent, ending_in_order
end_with_parent()
out = Path(sys.argv[1])
with ending_in_order(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    try:
        (out / "working").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep({clearing_up})
        (out / "ended in order").touch()
        sys.exit(130)
"""
PARENT = """
import os, signal, sys
from pathlib import Path
from configs.process.child import run_child
from configs.terminal.console import guarded
from configs.errors import TuneserveError
from configs.disk.locks import locked
out = Path(sys.argv[1])
# Whoever runs the tests may ignore them: nohup, a shell's background jobs.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
def work():
    with locked(out / "lock", TuneserveError("busy")):
        run_child([sys.executable, "-c", sys.argv[2], str(out)], dict(os.environ))
sys.exit(guarded(work, False))
"""


@contextmanager
def parent_and_child(out: Path, clearing_up: float = 0.0) -> Iterator[tuple[subprocess.Popen, psutil.Process]]:
    code = CHILD.format(clearing_up=clearing_up)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(out), code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: (out / "working").exists())
        (child,) = psutil.Process(parent.pid).children()
        yield parent, child
    finally:
        parent.kill()
        parent.wait()


def wait_until(condition: Callable[[], bool], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with parent_and_child(tmp_path) as (parent, child):
        parent.kill()
        wait_until(lambda: not lives(child), within_s=5)
    assert not (tmp_path / "ended in order").exists()


def test_what_the_starting_program_blocks_is_heard() -> None:
    code = "import os; from configs.process.child import hear_signals; hear_signals(); os.kill(os.getpid(), 15)"
    blocks = lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # noqa: E731
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, preexec_fn=blocks, check=False)
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_parent_alone_ends_both_in_order_and_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with parent_and_child(tmp_path) as (parent, child):
        began = time.monotonic()
        parent.send_signal(number)
        assert parent.wait(10) == 128 + number
        assert time.monotonic() - began < 5
        assert not lives(child)
    assert (tmp_path / "ended in order").exists()


def test_ctrl_c_reaches_both_and_clearing_up_is_done_once(tmp_path: Path) -> None:
    with parent_and_child(tmp_path, clearing_up=0.5) as (parent, child):
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.wait(10) == 130
        assert not lives(child)
    assert (tmp_path / "ended in order").exists()


def test_ctrl_c_is_no_traceback_of_a_child_that_still_imports(tmp_path: Path) -> None:
    code = "import time; from pathlib import Path; Path({out!r}).touch(); time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), code.format(out=str(tmp_path / "working"))], cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: (tmp_path / "working").exists())
    os.killpg(parent.pid, signal.SIGINT)
    assert "Traceback" not in parent.communicate(timeout=10)[1]
    assert parent.returncode == 130


def test_ctrl_c_is_no_traceback_of_a_command_that_still_imports() -> None:
    code = (
        "import signal, time\nfrom configs.process.first_moment import ended_without_a_word\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with ended_without_a_word(): pass\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "with ended_without_a_word():\n    print('imports', flush=True)\n    time.sleep(60)"
    )
    began = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert began.stdout is not None
    assert began.stdout.readline() == "imports\n"
    began.send_signal(signal.SIGINT)
    assert (began.communicate(timeout=10)[1], began.returncode) == ("", -signal.SIGINT)


def test_a_child_that_does_not_end_is_killed_by_a_second_wish(tmp_path: Path) -> None:
    with parent_and_child(tmp_path, clearing_up=60) as (parent, child):
        parent.send_signal(signal.SIGINT)
        time.sleep(1.2)
        parent.send_signal(signal.SIGINT)
        parent.wait(10)
        assert not lives(child)


def test_a_child_holds_the_lock_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = "import os, time; from pathlib import Path; (Path({out!r}) / 'working').touch(); time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), code.format(out=str(tmp_path))], cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    wait_until(lambda: (tmp_path / "working").exists())
    # This one does not look after its parent.
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    try:
        with pytest.raises(TuneserveError, match="busy"), locked(tmp_path / "lock", TuneserveError("busy")):
            pass
    finally:
        child.kill()
    with locked(tmp_path / "lock", TuneserveError("busy")):
        pass


def test_a_lock_is_waited_for_while_a_killed_command_is_going(tmp_path: Path) -> None:
    with parent_and_child(tmp_path) as (parent, _):
        parent.kill()
        with locked(tmp_path / "lock", TuneserveError("busy")):
            pass


def test_no_file_is_made_for_the_lock_of_a_folder_that_was_just_renamed(tmp_path: Path) -> None:
    with pytest.raises(TuneserveError, match="busy"), locked(tmp_path / "gone", TuneserveError("busy"), make=False):
        pass
    assert not (tmp_path / "gone").exists()


def test_workers_that_were_forked_die_with_the_process_that_they_work_for(tmp_path: Path) -> None:
    code = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from configs.process.child import die_with
with ProcessPoolExecutor(2, multiprocessing.get_context("fork"), die_with, (os.getpid(),)) as pool:
    list(pool.map(abs, range(4)))
    print("working", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"working\n"
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(lives, workers)), within_s=5)


def test_a_disk_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(TuneserveError, match="its disk has no locks"), locked(tmp_path, TuneserveError("held")):
        pass

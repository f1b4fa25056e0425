"""The terminal shows the project's lines, the log has what libraries write, and neither gets lost in an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.conftest import make_run, run_stage

START = """
import os, sys
from pathlib import Path
from configs.terminal.console import console, note
from configs.errors import ConfigError
from trainer.terminal import chatter_to
with chatter_to(Path("logs/tune.log")):
    note("our line")
    print("their line")
    print("their warning", file=sys.stderr)
    os.write(1, b"from C\\n")
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_chatter_goes_to_the_log_and_the_terminal_comes_back(tmp_path: Path) -> None:
    done = run(START + "print('after'); note('ours after'); print('warned', file=sys.stderr)", tmp_path)
    assert [line.strip() for line in done.stdout.splitlines()] == ["our line", "after", "ours after"]
    assert done.stderr == "warned\n"
    assert set((tmp_path / "logs" / "tune.log").read_text().splitlines()) == {"their line", "their warning", "from C"}


def test_a_second_time_is_appended(tmp_path: Path) -> None:
    run(START, tmp_path)
    run(START, tmp_path)
    assert (tmp_path / "logs" / "tune.log").read_text().count("their line") == 2


def test_an_unforeseen_error_shows_the_last_twenty_lines(tmp_path: Path) -> None:
    done = run(START + "    for i in range(30): print('noise', i)\n    raise RuntimeError('broken')", tmp_path)
    assert "noise 29" in done.stderr
    assert "noise 10" in done.stderr
    assert "noise 9\n" not in done.stderr
    assert "RuntimeError: broken" in done.stderr


def test_a_clear_error_speaks_for_itself(tmp_path: Path) -> None:
    done = run(START + "    raise ConfigError('wrong key')", tmp_path)
    assert "their line" not in done.stdout + done.stderr
    assert "wrong key" in done.stderr


@pytest.mark.slow
def test_training_shows_one_plan_line_and_its_progress(workshop: Path) -> None:
    terse = make_run(workshop, "terse", train={"max_steps": 2, "eval_steps": 0, "save_steps": 0})
    data = run_stage("data", terse, folder=workshop)
    train = run_stage("train", terse, folder=workshop)
    merge = run_stage("merge", terse, folder=workshop)
    starts = [line.split()[0] for line in train.stdout.splitlines()]
    assert starts == ["8", "!", "!", "train", "train", "✓"], train.stdout
    assert [len(stage.stdout.splitlines()) for stage in (data, merge)] == [1, 1]
    assert "".join(stage.stderr for stage in (data, train, merge)) == ""
    assert "Unsloth" in (terse.logs / "tune.log").read_text(encoding="utf-8")

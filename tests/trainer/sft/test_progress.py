"""What the line of a training says."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from trainer.sft.progress import RunLog


def test_the_time_left_is_not_that_of_the_steps_that_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    log = RunLog(tmp_path / "train.jsonl", Console(file=shown, width=200))
    args, state, control = TrainingArguments(str(tmp_path)), TrainerState(max_steps=100), TrainerControl()
    clock = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    log.on_train_begin(args, state, control)
    for state.global_step, seconds in enumerate((300, 20, 12, 12, 12), start=1):
        clock += seconds
        log.on_log(args, state, control, {"loss": 1.0})
    said = shown.getvalue().splitlines()
    assert "left" not in said[0]
    assert said[-1].startswith("train  step 5/100  19:00 left  loss 1.0000")

"""Trackers are started, write into the run directory, and are closed: with stand-ins, for none is installed here."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from configs.errors import TuneserveError
from configs.run.rundir import RunDir
from trainer.sft.trackers import FOLDERS, tracked

Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What was asked of the stand-ins of wandb, swanlab and mlflow."""
    seen: Calls = []
    for name in ("wandb", "swanlab", "mlflow"):
        module = types.ModuleType(name)
        for function in ("init", "finish", "end_run"):
            label = f"{name}.{function}"
            setattr(module, function, lambda *args, label=label, **named: seen.append((label, named | {"args": args})))
        client = types.SimpleNamespace(search_experiments=lambda max_results: [])
        vars(module)["MlflowClient"] = lambda client=client: client
        monkeypatch.setitem(sys.modules, name, module)
    return seen


def test_trackers_write_into_the_run_unless_they_are_told_otherwise(calls: Calls, tmp_path: Path) -> None:
    os.environ["WANDB_DIR"] = "/mine"
    with tracked(["tensorboard", "wandb", "swanlab"], RunDir(tmp_path), "shop", resumed=False):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "logs/tensorboard")
        assert os.environ["SWANLAB_LOG_DIR"] == str(tmp_path / "logs/swanlab")
        assert os.environ["WANDB_DIR"] == "/mine"


def test_nothing_is_set_or_imported_without_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wandb", "swanlab", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
    with tracked([], RunDir(tmp_path), "shop", resumed=False):
        assert not {variable for variable, _ in FOLDERS.values()} & set(os.environ)


def test_they_carry_the_name_of_the_run_and_are_closed(calls: Calls, tmp_path: Path) -> None:
    os.environ["SWANLAB_RUN_ID"] = "abc"
    with tracked(["wandb", "swanlab", "mlflow"], RunDir(tmp_path), "shop", resumed=False):
        assert [label for label, _ in calls] == ["wandb.init", "swanlab.init"]
    assert calls[0][1] == {"name": "shop", "project": "tuneserve", "args": ()}
    assert calls[1][1] == {"experiment_name": "shop", "project": "tuneserve", "id": "abc", "args": ()}
    assert calls[2:] == [
        ("wandb.finish", {"exit_code": 0, "args": ()}),
        ("swanlab.finish", {"state": "success", "args": ()}),
        ("mlflow.end_run", {"args": ("FINISHED",)}),
    ]


def test_a_failed_training_is_told(calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), tracked(["swanlab", "mlflow"], RunDir(tmp_path), "shop", resumed=False):
        raise ZeroDivisionError
    assert calls[-2:] == [
        ("swanlab.finish", {"state": "crashed", "args": ()}),
        ("mlflow.end_run", {"args": ("FAILED",)}),
    ]


@pytest.mark.parametrize(
    ("tracker", "function", "step"),
    [
        ("swanlab", "init", "`swanlab login`, or set SWANLAB_MODE=offline"),
        ("mlflow", "MlflowClient", "set MLFLOW_TRACKING_URI to a store that answers"),
    ],
)
def test_one_that_does_not_start_is_an_error_with_a_next_step(
    tracker: str, function: str, step: str, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(**_: object) -> None:
        raise RuntimeError("no TTY to log in")

    monkeypatch.setattr(sys.modules[tracker], function, nobody)
    with (
        pytest.raises(TuneserveError, match=f"{tracker} did not start: no TTY") as error,
        tracked(["wandb", tracker], RunDir(tmp_path), "shop", resumed=False),
    ):
        raise AssertionError("training began")
    assert step in error.value.next_step
    assert calls[-1] == ("wandb.finish", {"exit_code": 1, "args": ()})


def test_one_that_cannot_be_closed_does_not_lose_the_training(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: object) -> None:
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(sys.modules["mlflow"], "end_run", unreachable)
    with tracked(["mlflow", "wandb"], RunDir(tmp_path), "shop", resumed=False):
        pass
    assert "mlflow was not closed in order" in " ".join(capsys.readouterr().out.split())
    assert calls[-1][0] == "wandb.finish"


@pytest.mark.parametrize("resumed", [False, True])
def test_tensorboards_old_curve_stays_only_for_a_run_that_goes_on(tmp_path: Path, resumed: bool) -> None:
    old = tmp_path / "logs/tensorboard/events.out"
    old.parent.mkdir(parents=True)
    old.touch()
    with tracked(["tensorboard"], RunDir(tmp_path), "shop", resumed=resumed):
        assert old.exists() == resumed


def test_tensorboard_gets_every_step(tmp_path: Path) -> None:
    """The package itself, where it is installed, through transformers' callback."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from transformers import TrainerControl, TrainerState, TrainingArguments
    from transformers.integrations import TensorBoardCallback

    with tracked(["tensorboard"], RunDir(tmp_path), "shop", resumed=False):
        callback, state = TensorBoardCallback(), TrainerState(is_world_process_zero=True)
        args = TrainingArguments(output_dir=str(tmp_path / "checkpoints"), report_to="none", use_cpu=True)
        callback.on_train_begin(args, state, TrainerControl())
        for step in range(1, 4):
            state.global_step = step
            callback.on_log(args, state, TrainerControl(), logs={"loss": 1.0 / step})
        callback.on_train_end(args, state, TrainerControl())
    events = EventAccumulator(str(tmp_path / "logs/tensorboard")).Reload()
    assert [(e.step, round(e.value, 3)) for e in events.Scalars("train/loss")] == [(1, 1.0), (2, 0.5), (3, 0.333)]

"""The manifest: atomic, honest about what is done, and skipped only when nothing changed."""

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

from configs.errors import ConfigError, TuneserveError
from configs.files import write_atomically
from configs.rundir import RunDir
from configs.schema import DataConfig, RunConfig, SourceConfig


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    data = DataConfig(sources=[SourceConfig(path="rows.jsonl")])
    return RunDir.create(RunConfig(name="r", model="owner/model", output_dir=str(tmp_path), data=data))


def test_a_stage_is_skipped_only_while_inputs_and_outputs_stay(run: RunDir) -> None:
    inputs = {"train.epochs": 2, "data": "abc"}
    assert run.changed_since("train", inputs) == "not done yet"
    with run.stage("train", inputs, [run.adapter]) as record:
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}", encoding="utf-8")
        record.figures["loss"] = 0.5
    assert run.changed_since("train", inputs) is None
    assert run.read().stages["train"].figures == {"loss": 0.5}
    assert run.changed_since("train", {**inputs, "train.epochs": 3}) == "train.epochs changed (2 -> 3)"
    shutil.rmtree(run.adapter)
    assert run.changed_since("train", inputs) == "adapter/adapter_config.json is gone"


def test_a_stage_without_its_output_is_not_done(run: RunDir) -> None:
    with pytest.raises(TuneserveError, match="ended without"), run.stage("merge", {}, [run.merged]):
        pass
    assert run.read().stages["merge"].state == "failed"


def test_a_failure_and_an_interruption_are_recorded(run: RunDir) -> None:
    with pytest.raises(ValueError, match="boom"), run.stage("train", {}):
        raise ValueError("boom")
    assert run.changed_since("train", {}) == "failed before: ValueError: boom"
    with pytest.raises(KeyboardInterrupt), run.stage("train", {}):
        raise KeyboardInterrupt
    assert run.read().stages["train"].error == "interrupted"


def _killed_in_the_middle(path: Path) -> None:
    import os
    import signal

    with RunDir(path).stage("train", {"a": 1}):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_stage_is_done_again(run: RunDir) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_killed_in_the_middle, args=(run.path,))
    child.start()
    child.join()
    assert child.exitcode == -9
    assert run.read().stages["train"].state == "running"
    assert run.changed_since("train", {"a": 1}) == "did not finish"


def _add_fact(path: Path, number: int) -> None:
    for i in range(20):
        RunDir(path).update(hashes={f"{number}.{i}": str(i)})


def test_two_processes_lose_none_of_each_others_entries(run: RunDir) -> None:
    spawn = multiprocessing.get_context("spawn")
    children = [spawn.Process(target=_add_fact, args=(run.path, n)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert len(run.read().hashes) == 40


def test_only_one_command_works_in_a_run(run: RunDir) -> None:
    with (
        run.exclusively(),
        pytest.raises(TuneserveError, match="another tuneserve command"),
        RunDir(run.path).exclusively(),
    ):
        pass


def test_a_folder_without_manifest_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run directory"):
        RunDir.open(tmp_path)


def test_a_damaged_manifest_is_said_to_be_damaged(run: RunDir) -> None:
    run.manifest_file.write_text('{"name": ', encoding="utf-8")
    with pytest.raises(TuneserveError, match="damaged"):
        run.read()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    write_atomically(file, json.dumps({"a": 1}))
    with pytest.raises(TypeError):
        write_atomically(file, 7)  # type: ignore[arg-type]
    assert json.loads(file.read_text(encoding="utf-8")) == {"a": 1}


def test_recreating_a_run_keeps_its_stages_and_takes_the_new_config(run: RunDir) -> None:
    with run.stage("data", {"x": 1}):
        pass
    config = run.config().model_copy(update={"seed": 7})
    again = RunDir.create(config)
    assert again.read().seed == 7
    assert again.changed_since("data", {"x": 1}) is None


def test_a_moved_run_is_configured_where_it_is(run: RunDir, tmp_path: Path) -> None:
    moved = RunDir(run.path.rename(tmp_path / "elsewhere"))
    moved.configure(moved.config().model_copy(update={"seed": 7}))
    assert moved.read().seed == moved.config().seed == 7
    assert not run.path.exists()

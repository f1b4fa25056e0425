"""The manifest: atomic, honest about what is done, and skipped only when nothing changed."""

import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs.disk.files import write_atomically
from configs.errors import ConfigError, TuneserveError
from configs.recipe.schema import DataConfig, RunConfig, SourceConfig
from configs.run.rundir import RunDir


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


def test_who_waited_for_a_run_that_was_removed_meanwhile_does_not_begin_in_it(run: RunDir) -> None:
    with ThreadPoolExecutor(1) as other:
        with run.exclusively():
            waiting = other.submit(RunDir(run.path).exclusively().__enter__)
            time.sleep(0.5)
            shutil.rmtree(run.path)
            run.path.mkdir()  # by a third one
        with pytest.raises(TuneserveError, match="another tuneserve command"):
            waiting.result()


def test_a_group_that_shares_a_folder_may_go_on_with_each_others_runs(run: RunDir, tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        shared = RunDir.create(run.config().model_copy(update={"name": "shared"}))
    finally:
        os.umask(before)
    assert [file.name for file in shared.path.rglob("*") if not file.stat().st_mode & 0o020] == []


def test_a_folder_without_manifest_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run directory"):
        RunDir.open(tmp_path)


DAMAGES = ['{"name": ', "", "[]", '{"schema_version": 2}']


@pytest.mark.parametrize("text", DAMAGES)
def test_a_damaged_manifest_is_said_to_be_damaged(run: RunDir, text: str) -> None:
    run.manifest_file.write_text(text, encoding="utf-8")
    with pytest.raises(TuneserveError, match="damaged"):
        run.read()


@pytest.mark.parametrize("text", [*DAMAGES, None])
def test_a_damaged_manifest_is_taken_from_the_copy_before_its_last_change(
    run: RunDir, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with run.stage("data", {"x": 1}, [output(run, "data/rows")]):
        pass
    run.update(versions={"trl": "1"})
    if text is None:
        run.manifest_file.unlink()
    else:
        run.manifest_file.write_text(text, encoding="utf-8")
    with pytest.raises(TuneserveError) as said:
        run.read()
    assert "takes the copy" in said.value.next_step
    with RunDir.open(run.path).exclusively():
        assert run.changed_since("data", {"x": 1}) is None
    assert "the copy before its last change takes its place" in capsys.readouterr().out
    if text is not None:
        assert (run.path / "run.json.damaged").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("name", "leads_to"),
    [
        ("run.json", "file"),
        (".run.lock", "nothing"),
        ("logs/train.jsonl", "file"),
        ("eval/tuned/qa.jsonl.old", "nothing"),
        ("checkpoints/checkpoint-1/optimizer.pt", "file"),
        ("eval/tuned", "folder"),
        ("checkpoints", "another/checkpoints"),
    ],
)
def test_no_link_of_a_strangers_run_is_written_to(run: RunDir, tmp_path: Path, name: str, leads_to: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "another" / "checkpoints").mkdir(parents=True)
    for file in ("file", "another/.run.json.before"):
        (tmp_path / file).write_bytes(run.manifest_file.read_bytes())
    (link := run.path / name).parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / leads_to)
    with pytest.raises(ConfigError, match="is a link to"), RunDir.open(run.path).exclusively():
        pass
    assert not (tmp_path / "nothing").exists()


def test_a_part_of_a_run_may_lie_on_another_disk(run: RunDir, tmp_path: Path) -> None:
    run.checkpoints.symlink_to(disk := tmp_path / "disk")
    disk.mkdir()
    for judged in (run.adapter, run.path / "base"):
        judged.mkdir()
        (judged / "model.safetensors").symlink_to(tmp_path / "judged.safetensors")
    for logs in (run.path / "eval", tmp_path / "logs"):
        (logs / "wandb").mkdir(parents=True)
        (logs / "wandb/latest-run").symlink_to("run-1")
    run.logs.symlink_to(tmp_path / "logs")
    with RunDir.open(run.path).exclusively():
        assert run.checkpoints.is_symlink()
    (disk / "optimizer.pt").symlink_to(tmp_path / "mine")
    with pytest.raises(ConfigError, match="is a link to"), RunDir.open(run.path).exclusively():
        pass


def test_a_manifest_beyond_repair_stops_before_anything_is_lost(run: RunDir) -> None:
    with run.stage("data", {"x": 1}):
        pass
    for file in (run.manifest_file, run.path / ".run.json.before"):
        file.write_text("{", encoding="utf-8")
    checkpoint = output(run, "checkpoints/checkpoint-1/optimizer.pt")
    with pytest.raises(TuneserveError, match=r"run.json: damaged: not JSON") as error:
        RunDir.create(run.config())
    assert "move it away" in error.value.next_step
    assert checkpoint.exists()


def test_a_folder_of_other_files_does_not_become_a_run(run: RunDir) -> None:
    project = run.path.with_name("project")
    mine = project / "checkpoints" / "checkpoint-1" / "optimizer.pt"
    mine.parent.mkdir(parents=True)
    mine.touch()
    config = run.config().model_copy(update={"name": "project"})
    with pytest.raises(ConfigError, match=r"project: holds files that are no run's \(checkpoints\)"):
        RunDir.create(config)
    assert [*project.rglob("*")] == [mine.parents[1], mine.parent, mine]


def test_a_run_begins_again_where_its_folder_was_removed_under_a_stage(run: RunDir) -> None:
    config = run.config()
    with pytest.raises(TuneserveError, match=r"run\.json: gone"), run.stage("data", {"x": 1}):
        shutil.rmtree(run.path)
    assert [file.name for file in run.path.iterdir()] == [".manifest.lock"]
    assert RunDir.create(config).config() == config


def test_on_a_disk_without_capitals_a_run_does_not_take_the_place_of_another(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda place: [name.upper() for name in listed(place)])
    before = run.manifest_file.read_bytes()
    with pytest.raises(ConfigError, match=f"is {run.path.name.upper()} on this disk"):
        RunDir.create(run.config())
    assert run.manifest_file.read_bytes() == before


def test_what_a_kill_leaves_of_a_new_run_is_gone_on_from(run: RunDir) -> None:
    config = run.config()
    run.manifest_file.unlink()
    partial, own = run.path / ".config.yaml.4711.partial", run.path / "eval" / ".mine.partial"
    own.parent.mkdir()
    for file in (partial, own):
        file.touch()
    RunDir.create(config)
    assert run.manifest_file.is_file()
    assert [own.exists(), partial.exists()] == [True, False]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ('"schema_version": 1', "schema_version is 1"),
        ('"schema_version": 2, "tags": []', "another version: tags: Extra"),
    ],
)
def test_a_manifest_of_another_version_is_left_as_it_is(run: RunDir, field: str, said: str) -> None:
    with run.stage("data", {"x": 1}):
        pass
    other = run.manifest_file.read_text(encoding="utf-8").replace('"schema_version": 2', field)
    run.manifest_file.write_text(other, encoding="utf-8")
    with pytest.raises(TuneserveError, match=said):
        RunDir.create(run.config())
    assert run.manifest_file.read_text(encoding="utf-8") == other


def test_figures_of_another_version_are_named(run: RunDir) -> None:
    with run.stage("train", {}) as record:
        record.figures["newer"] = 1
    with pytest.raises(TuneserveError, match="the figures of train are not of this version: steps: Field required"):
        run.read().trained()


def output(run: RunDir, path: str, content: bytes = b"content") -> Path:
    file = run.path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda file: file.unlink(), "merged/model-2.safetensors is gone"),
        (lambda file: file.write_bytes(b"cont"), "merged/model-2.safetensors has 4 bytes, 7 were written"),
        (lambda file: file.write_bytes(b"conTent"), "merged/model-2.safetensors is not what was written"),
    ],
)
@pytest.mark.parametrize("settled", [False, True])
def test_a_stage_is_done_only_while_its_files_are_what_it_wrote(
    run: RunDir, harm: Callable[[Path], object], said: str, settled: bool
) -> None:
    """`settled`: the times that a file carries are set back, as a careful program or a bad disk does."""
    files = [output(run, f"merged/model-{n}.safetensors") for n in (1, 2)]
    with run.stage("merge", {}, [run.merged]):
        pass
    assert run.changed_since("merge", {}) is None
    times = files[1].stat()
    harm(files[1])
    if settled and files[1].exists():
        os.utime(files[1], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert str(run.changed_since("merge", {})).startswith(said)


def test_a_copied_run_with_other_times_is_still_done(run: RunDir, tmp_path: Path) -> None:
    output(run, "merged/model.safetensors")
    with run.stage("merge", {}, [run.merged]):
        pass
    copy = RunDir(shutil.copytree(run.path, tmp_path / "copy", copy_function=shutil.copyfile))
    os.utime(copy.merged / "model.safetensors", (1, 1))
    assert copy.changed_since("merge", {}) is None


def test_files_that_come_later_do_not_undo_a_stage(run: RunDir) -> None:
    output(run, "merged/model.safetensors")
    with run.stage("merge", {}, [run.merged]):
        pass
    output(run, "merged/README.md")
    assert run.changed_since("merge", {}) is None


def test_answers_that_were_set_aside_may_be_removed(run: RunDir) -> None:
    output(run, "eval/base/qa.jsonl")
    aside = output(run, "eval/base/qa.jsonl.old")
    with run.stage("base", {}, [run.eval / "base"]):
        pass
    aside.unlink()
    assert run.changed_since("base", {}) is None


def test_a_folder_of_answers_goes_only_without_somebody_s_own_file(run: RunDir) -> None:
    output(run, "eval/base/qa.jsonl")
    with run.stage("base", {}, [run.eval / "base"]):
        pass
    output(run, "eval/base/qa.jsonl.2.old")
    output(run, "eval/base_repeat/of_an_earlier_recipe.jsonl")
    mine = output(run, "eval/base/qa-read-by-anna.csv")
    run.remove_outputs("base", run.eval / "base_repeat")
    with pytest.raises(ConfigError, match=r"qa-read-by-anna.csv: is not of this run"):
        run.remove_outputs("base", run.eval / "base")
    mine.unlink()
    run.remove_outputs("base", run.eval / "base")
    assert [*run.eval.iterdir()] == []


def test_a_refused_command_writes_nothing(run: RunDir) -> None:
    """What the running one works by must stay what it was."""
    with run.exclusively():
        before = {file.name: file.read_bytes() for file in run.path.iterdir() if file.is_file()}
        other = run.config().model_copy(update={"seed": 7})
        with pytest.raises(TuneserveError, match="another tuneserve command"):
            RunDir.create(other)
        assert {file.name: file.read_bytes() for file in run.path.iterdir() if file.is_file()} == before
    assert run.config().seed == run.read().seed == 42


def test_what_killed_writers_left_is_cleared_up(run: RunDir) -> None:
    paths = (".run.json.4711.partial", "data/.proof.jsonl.4711.partial", "eval/tuned/.looks.jsonl.4711.partial")
    left = [output(run, path) for path in paths]
    own, written = output(run, "data/mine.partial"), output(run, "eval/mine/.mine.meta.json.4711.partial")
    with written.open() as writer:  # an evaluation into a folder of the run does not hold the run
        fcntl.flock(writer, fcntl.LOCK_EX)
        with run.exclusively():
            assert not any(file.exists() for file in left)
        assert own.exists()
        assert written.exists(), "its writer could not put it in place"


def test_a_disk_too_full_to_write_the_failure_down_does_not_hide_it(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RunDir, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def go_wrong() -> None:
        with run.stage("train", {}):
            monkeypatch.setattr(RunDir, "_write", full)
            raise ValueError("what really went wrong")

    with pytest.raises(ValueError, match="what really went wrong"):
        go_wrong()


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

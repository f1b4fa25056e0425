"""Lists of runs, and removing them: nothing that a server uses or a command works in is ever touched."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from configs.disk import locks
from configs.errors import ConfigError, TuneserveError
from configs.model.fingerprint import weights_fingerprint
from configs.recipe.load import load_config
from configs.run.merged import adapter_hash, origin, require_current, training
from configs.run.rundir import RunDir
from configs.terminal.console import OUTPUT
from scripts.cli import main
from scripts.run.listing import find_runs, ordered, size_of, summarize
from scripts.run.removing import removals, why_kept
from serve.state.adapters import note_change
from serve.state.servers import state_file, write_state
from tests.serve.fakes import free_port
from tests.serve.state.test_servers import known

REPORT = {
    "gate": {"verdict": "pass", "reservations": [{"key": "reservation.fell"}]},
    "tasks": [
        {"role": "target", "delta_points": 30.0},
        {"role": "target", "delta_points": 10.0},
        {"role": "retention"},
    ],
    "forgetting": {"retention_percent": 97.5},
}


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No server of the user's, and no wish of an earlier command."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(OUTPUT, raising=False)
    yield
    os.environ.pop(OUTPUT, None)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., RunDir]:
    def run(name: str, *overrides: str, report: dict | None = REPORT, failed: str = "") -> RunDir:
        config = load_config("demo", [f"name={name}", f"output_dir={tmp_path / 'runs'}", *overrides])
        made = RunDir.create(config)
        for stage in ("data", "train", "merge", *(["base", "tuned"] if report else [])):
            if stage == failed:
                with pytest.raises(RuntimeError), made.stage(stage, {}):
                    raise RuntimeError("out of memory")
                return made
            with made.stage(stage, {}):
                pass
        for folder in (made.checkpoints / "checkpoint-1", made.adapter, made.merged, made.report):
            folder.mkdir(parents=True)
        (made.adapter / "adapter_config.json").write_text("{}")
        (made.checkpoints / "checkpoint-1" / "optimizer.pt").write_bytes(bytes(5000))
        (made.merged / "model.safetensors").write_bytes(bytes(20_000))
        if report:
            (made.report / "report.json").write_text(json.dumps(report))
        return made

    return run


def tuneserve(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return int(ended.value.code or 0)


def test_a_run_is_told_by_its_stages_and_report(make: Callable[..., RunDir], tmp_path: Path) -> None:
    done, open_, failed = make("done"), make("open", report=None), make("failed", failed="train")
    seen = summarize(done)
    assert (seen.state, seen.verdict, seen.gain_points, seen.kept_percent) == ("judged", "pass", 20.0, 97.5)
    assert seen.size_bytes == size_of(done.path) >= 25_000
    assert summarize(open_).state == "ready"
    assert (summarize(failed).state, summarize(failed).stage) == ("failed", "train")
    assert "out of memory" in summarize(failed).error
    with done.exclusively():
        assert summarize(done).state == "working"
    (open_.manifest_file).write_text("{")
    assert summarize(open_).state == "damaged"
    assert [run.path.name for run in find_runs(tmp_path / "runs")] == ["done", "failed", "open"]


def test_scores_of_weights_that_the_run_had_before_are_not_shown(
    make: Callable[..., RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make("again")
    (run.merged / "config.json").write_text("{}")

    def merge() -> None:
        with run.stage("merge", {"adapter": adapter_hash(run)}, [run.merged]):
            pass

    merge()
    with run.stage("tuned", {"merged_weights": weights_fingerprint(run.merged)}):
        pass
    assert summarize(run).verdict == "pass"

    with run.stage("train", {}):
        (run.adapter / "adapter_config.json").write_text('{"r": 8}')
    assert (summarize(run).state, summarize(run).verdict) == ("ready", "")
    assert tuneserve("compare", run.path, "--again") == 2
    assert "was trained or merged again since it answered" in capsys.readouterr().err
    (run.merged / "model.safetensors").write_bytes(bytes(20_001))
    merge()
    assert summarize(run).verdict == ""
    (run.merged / "model.safetensors").write_bytes(bytes(20_000))
    merge()  # the same weights as before
    assert summarize(run).verdict == "pass"
    with run.stage("train", {}):
        (run.adapter / "adapter_model.safetensors").touch()
        os.truncate(run.adapter / "adapter_model.safetensors", 1 << 37)  # which nobody waits for
    assert summarize(run).verdict == ""


def test_answers_that_were_changed_on_disk_are_not_compared(
    make: Callable[..., RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make("answers")
    answers = run.eval / "tuned" / "facts.jsonl"
    answers.parent.mkdir(parents=True)
    answers.write_text('{"scores": 0}')
    with run.stage("tuned", {}, [answers.parent]):
        pass
    answers.write_text('{"scores": 1}')
    assert tuneserve("compare", run.path, "--again") == 2
    assert "eval/tuned/facts.jsonl is not what was written" in " ".join(capsys.readouterr().err.split())
    killed = run.stage("tuned", {})
    killed.__enter__()
    assert tuneserve("compare", run.path, "--again") == 2
    assert "the stage tuned did not finish" in " ".join(capsys.readouterr().err.split())


def test_scores_are_of_the_run_s_weights_whatever_the_clock_said_and_what_was_pruned(
    make: Callable[..., RunDir],
) -> None:
    run = make("clock")
    (run.merged / "config.json").write_text("{}")

    def train(rank: int) -> None:
        with run.stage("train", {}, [run.adapter]):
            (run.adapter / "adapter_config.json").write_text(f'{{"r": {rank}}}')

    def merge(rank: int) -> None:
        with run.stage("merge", {"adapter": adapter_hash(run)}, [run.merged]) as record:
            (run.merged / "model.safetensors").write_bytes(bytes(rank))
            record.figures["training"] = training(run.read().stages["train"])

    train(8)
    merge(8)
    with run.stage("tuned", {"merged_weights": weights_fingerprint(run.merged)}) as record:
        record.figures["made_of"] = origin(run.read().stages["merge"])
    assert summarize(run).verdict == "pass"

    train(4)
    manifest = run.read()
    manifest.stages["train"].started = "2001-01-01T00:00:00+00:00"  # the clock stepped back
    run.manifest_file.write_text(manifest.model_dump_json())
    assert summarize(run).verdict == ""
    merge(4)
    shutil.rmtree(run.merged)
    assert summarize(run).verdict == ""


def test_a_verdict_on_weights_that_were_given_is_not_of_those_that_lie_there_now(
    make: Callable[..., RunDir], tmp_path: Path
) -> None:
    run, theirs = make("judged", "foreign={model: theirs}"), tmp_path / "theirs"
    manifest = run.read()
    del manifest.stages["train"], manifest.stages["merge"]
    run.manifest_file.write_text(manifest.model_dump_json())
    theirs.write_bytes(b"judged")
    (run.merged / "config.json").write_text("{}")
    (run.merged / "model.safetensors").unlink()
    (run.merged / "model.safetensors").symlink_to(theirs)
    with run.stage("foreign", {}, [run.merged]):
        pass
    with run.stage("tuned", {"merged_weights": weights_fingerprint(run.merged)}):
        pass
    assert summarize(run).verdict == "pass"
    theirs.write_bytes(b"others")
    assert summarize(run).verdict == ""
    with pytest.raises(ConfigError, match=r"its content changed\n.*tuneserve judge"):
        require_current(run, contents=True)


@pytest.mark.parametrize(
    "report",
    [
        "[]",
        "{",
        "[" * 100_000,
        '{"tasks": [1], "gate": {"verdict": "pass"}}',
        '{"tasks": [{"role": "target", "delta_points": "x"}], "gate": {"verdict": "pass"}}',
        '{"tasks": [], "forgetting": [1], "gate": {"verdict": "pass"}}',
        '{"tasks": [], "gate": {"verdict": {}, "reservations": 7}}',
    ],
)
def test_a_report_that_is_none_leaves_the_list_whole(
    report: str, make: Callable[..., RunDir], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make("strange")
    (run.report / "report.json").write_text(report, encoding="utf-8")
    assert summarize(run).verdict == ""
    with pytest.raises(SystemExit) as ended:
        main(["runs", "--folder", str(tmp_path / "runs"), "--sort", "gain"])
    assert ended.value.code == 0
    assert "strange" in capsys.readouterr().out


def test_who_only_looks_is_not_taken_for_work(make: Callable[..., RunDir]) -> None:
    run = make("shop")
    with run.exclusively():
        pass  # the lock's file is there from now on
    with (run.path / ".run.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not run.is_held


def test_runs_are_ordered_by_what_is_asked(make: Callable[..., RunDir]) -> None:
    runs = [summarize(make("a", report=None)), summarize(make("b")), summarize(make("c", failed="train"))]
    better = {**REPORT, "tasks": [{"role": "target", "delta_points": 50.0}]}
    runs.append(summarize(make("d", report=better)))
    assert [run.name for run in ordered(runs, "gain")] == ["d", "b", "a", "c"]
    assert [run.name for run in ordered(runs, "name")] == ["a", "b", "c", "d"]
    assert ordered(runs, "size")[-1].name == "c"


def test_the_list_and_its_json(make: Callable[..., RunDir], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("shop")
    assert tuneserve("runs", "--folder", tmp_path / "runs") == 0
    shown = capsys.readouterr().out
    for word in ("shop", "judged", "reservations", "+20.0", "97.5 %", "kB"):
        assert word in shown
    assert tuneserve("runs", "--folder", tmp_path / "runs", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"][0]["gain_points"] == 20.0
    assert said["rows"][0]["size_bytes"] > 25_000


@pytest.mark.parametrize("how", ["run", "weights", "adapter argument", "loaded adapter"])
def test_what_a_server_uses_is_never_removed(
    how: str, make: Callable[..., RunDir], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, port = make("shop"), free_port()
    elsewhere = tmp_path / "base"
    state = {
        "run": known(port, run.path),
        "weights": known(port, elsewhere, weights=str(run.merged)),
        "adapter argument": known(port, elsewhere, argv=["vllm", "--lora-modules", f"shop={run.adapter}"]),
        "loaded adapter": known(port, elsewhere),
    }[how]
    write_state(state)
    if how == "loaded adapter":
        note_change(port, "shop-lora", str(run.adapter))
    assert summarize(run).served_as
    assert tuneserve("runs", "rm", "shop", "--folder", tmp_path / "runs", "--yes", "--force") == 2
    assert "is served as" in capsys.readouterr().err
    assert tuneserve("runs", "prune", "--weights", "--folder", tmp_path / "runs", "--yes") == 0
    assert (run.merged / "model.safetensors").is_file()
    assert (run.checkpoints / "checkpoint-1").is_dir()
    state_file(port).unlink()


def test_a_server_that_cannot_be_read_stops_every_removal(make: Callable[..., RunDir]) -> None:
    from serve.state.port_lock import PortLock

    run, port = make("shop"), free_port()
    state_file(port).parent.mkdir(parents=True, exist_ok=True)
    state_file(port).write_text("{")
    lock = PortLock.take(port)
    assert lock is not None
    with pytest.raises(ConfigError, match="damaged"):
        why_kept(run)
    assert "damaged" in summarize(run).served_as[0]
    lock.release()


def test_prune_leaves_weights_that_were_trained_whole_and_takes_a_run_with_two_names_once(
    make: Callable[..., RunDir], tmp_path: Path
) -> None:
    whole, judged, folder = make("whole"), make("judged"), tmp_path / "runs"
    (whole.adapter / "adapter_config.json").rename(whole.adapter / "config.json")
    shutil.rmtree(judged.adapter)  # merged weights of another trainer
    (judged.merged / "config.json").write_text("{}")
    manifest = judged.read()
    del manifest.stages["train"], manifest.stages["merge"]
    judged.manifest_file.write_text(manifest.model_dump_json())
    assert summarize(judged).state == "judged"
    for run in (whole, judged):
        with pytest.raises(RuntimeError), run.stage("tuned", {}):
            raise RuntimeError("the port is taken")
    (folder / "latest").symlink_to(whole.path)
    other = make("other")
    (other.merged / "model.safetensors").rename(tmp_path / "theirs")
    (other.merged / "model.safetensors").symlink_to(tmp_path / "theirs")
    (other.checkpoints).rename(tmp_path / "big-disk")
    other.checkpoints.symlink_to(tmp_path / "big-disk")
    assert [run.path.name for run in find_runs(folder)] == ["judged", "other", "whole"]
    assert tuneserve("runs", "prune", "--folder", folder, "--failed", "--weights", "--yes") == 0
    assert (whole.adapter / "config.json").is_file()
    assert not whole.merged.exists()
    assert other.merged.exists()
    assert (judged.merged / "config.json").is_file()
    assert not whole.checkpoints.exists()
    assert [file.name for file in other.checkpoints.iterdir()] == ["checkpoint-1"]


def test_prune_frees_checkpoints_and_weights_only_if_asked(make: Callable[..., RunDir], tmp_path: Path) -> None:
    run, failed = make("shop"), make("broken", failed="train")
    folder = tmp_path / "runs"
    assert tuneserve("runs", "prune", "--folder", folder, "--dry-run") == 0
    assert run.checkpoints.is_dir()
    assert tuneserve("runs", "prune", "--folder", folder) == 2  # nobody is there to say yes
    assert tuneserve("runs", "prune", "--folder", folder, "--older-than", "1", "--yes") == 0
    assert run.checkpoints.is_dir()
    assert tuneserve("runs", "prune", "--folder", folder, "--yes") == 0
    assert not run.checkpoints.exists()
    assert run.merged.is_dir()
    assert failed.path.is_dir()
    assert tuneserve("runs", "prune", "--folder", folder, "--weights", "--failed", "--yes") == 0
    assert not run.merged.exists()
    assert (run.adapter / "adapter_config.json").is_file()
    assert not failed.path.exists()


def test_prune_leaves_what_a_run_has_whose_adapter_is_damaged(make: Callable[..., RunDir], tmp_path: Path) -> None:
    damage = {
        "gone": Path.unlink,
        "half": lambda file: os.truncate(file, 1),
        "other": lambda file: file.write_text("{1"),
    }
    runs = [make(name) for name in damage]
    for run in runs:
        weights = run.adapter / "model.safetensors"
        weights.write_text("{}")
        with run.stage("train", {}, [run.adapter]):
            pass
        damage[run.path.name](weights)
    assert tuneserve("runs", "prune", "--folder", tmp_path / "runs", "--weights", "--yes") == 0
    assert all(run.merged.is_dir() and run.checkpoints.is_dir() for run in runs)


def test_a_run_that_is_finished_or_built_on_while_an_answer_is_waited_for_stays(
    make: Callable[..., RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make("broken", failed="train")

    def answered(*_: object) -> None:
        with run.stage("train", {}):
            run.adapter.mkdir()
            (run.adapter / "adapter_config.json").write_text("{}")

    monkeypatch.setattr("scripts.verbs.runs._confirm", answered)
    assert tuneserve("runs", "prune", "--folder", tmp_path / "runs", "--failed") == 0
    assert run.adapter.is_dir()
    assert "is not what it was" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr("scripts.verbs.runs._confirm", lambda *_: make("next", f"model={run.merged}"))
    assert tuneserve("runs", "rm", "broken", "--folder", tmp_path / "runs") == 2
    assert run.adapter.is_dir()


def test_a_run_that_another_builds_on_or_works_in_stays(
    make: Callable[..., RunDir], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = make("first")
    second = make("second", f"model={first.merged}")
    runs = [(run, summarize(run)) for run in (first, second)]
    assert {r.run.path.name for r in removals(runs, weights=True, failed=False, older_than_days=None)} == {"second"}
    assert tuneserve("runs", "rm", "first", "--folder", tmp_path / "runs", "--yes") == 2
    assert "named by the recipe of second" in capsys.readouterr().err
    manifest = second.manifest_file.read_bytes()
    second.manifest_file.write_bytes(manifest[:99])  # its copy is next
    assert tuneserve("runs", "rm", "first", "--folder", tmp_path / "runs", "--yes") == 2
    second.manifest_file.write_bytes(manifest)
    with second.exclusively():
        assert "worked in" in why_kept(second)
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert tuneserve("runs", "rm", "first", "--folder", tmp_path / "moved", "--yes") == 2
    (tmp_path / "moved").rename(tmp_path / "runs")
    assert tuneserve("runs", "rm", "first", "second", "--folder", tmp_path / "runs", "--yes") == 0
    assert not first.path.exists()
    assert not second.path.exists()


def test_nobody_begins_in_a_run_while_it_is_removed(
    make: Callable[..., RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, unlink, refused = make("shop"), os.unlink, []
    monkeypatch.setattr(locks, "WAIT_S", 0.1)

    def removing(path: Path, **where: int) -> None:
        if path == run.manifest_file:  # the last of it that makes it a run
            with pytest.raises(TuneserveError, match="another tuneserve command"), RunDir(run.path).exclusively():
                pass
            refused.append(path)
        unlink(path, **where)

    monkeypatch.setattr(os, "unlink", removing)
    assert tuneserve("runs", "rm", "shop", "--folder", tmp_path / "runs", "--yes") == 0
    assert (refused, run.path.exists()) == ([run.manifest_file], False)


@pytest.mark.parametrize("after", range(0, 20, 3))
def test_a_run_whose_removal_was_stopped_can_be_removed(
    make: Callable[..., RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    run, left, unlink, rmdir = make("shop"), [after], os.unlink, os.rmdir

    def counted(remove: Callable[..., None]) -> Callable[..., None]:
        def removing(path: str, **where: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            remove(path, **where)

        return removing

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", counted(unlink))
        patch.setattr(os, "rmdir", counted(rmdir))
        tuneserve("runs", "rm", "shop", "--folder", tmp_path / "runs", "--yes")
    if run.path.exists():
        assert tuneserve("runs", "rm", "shop", "--folder", tmp_path / "runs", "--yes") == 0
    assert not run.path.exists()


@pytest.mark.parametrize("manifest", ["{", '{"schema_version": 1}', ""])
def test_a_run_that_cannot_be_read_can_be_removed(make: Callable[..., RunDir], tmp_path: Path, manifest: str) -> None:
    run = make("shop")
    for file in (run.manifest_file, run.path / ".run.json.before"):
        file.write_text(manifest)
    if not manifest:
        run.manifest_file.unlink()
    assert tuneserve("runs", "rm", "shop", "--folder", tmp_path / "runs", "--yes") == 0
    assert not run.path.exists()


def test_a_mistyped_run_and_a_link_are_refused(
    make: Callable[..., RunDir], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make("shop-2026")
    assert tuneserve("runs", "rm", "shop", "--folder", tmp_path / "runs", "--yes") == 2
    assert "did you mean shop-2026" in capsys.readouterr().err
    (tmp_path / "runs" / "link").symlink_to(run.path)
    assert tuneserve("runs", "rm", "link", "--folder", tmp_path / "runs", "--yes") == 2
    assert run.path.is_dir()


def test_a_pipe_in_the_place_of_report_or_lock_is_not_waited_for(make: Callable[..., RunDir], tmp_path: Path) -> None:
    run = make("strange")
    for name in ("report/report.json", ".run.lock"):
        (run.path / name).unlink(missing_ok=True)
        os.mkfifo(run.path / name)
    assert (summarize(run).verdict, summarize(run).state) == ("", "ready")

"""What commands do to a run that another command works in, and to one whose answers are not what they were."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.disk import locks
from configs.errors import ConfigError, TuneserveError
from configs.run.merged import require_current
from configs.run.rundir import RunDir
from scripts.cli import app
from scripts.run.pipeline import evaluate_base
from scripts.run.stages import StageFailed, run_child
from serve.launch.target import merged_target
from tests.scripts.conftest import CLI, ROOT, environment
from tests.scripts.run.test_pipeline import NoServer, ServerStarted, answered, opened
from tests.trainer.conftest import DEMO_MODEL


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WAIT_S", 0.1)


@pytest.mark.parametrize("verb", ["train", "run", "merge"])
def test_a_command_with_other_keys_leaves_the_files_of_the_running_one_alone(tmp_path: Path, verb: str) -> None:
    run, _ = opened(tmp_path, "name=busy")
    recipe = [str(ROOT / "configs" / "demo.yaml"), f"output_dir={tmp_path}", "name=busy", "train.epochs=1"]
    told = {
        "train": ["train", *recipe],
        "run": ["run", *recipe, "--no-serve"],
        "merge": ["merge", str(run.path), "--format", "gguf"],
    }
    with run.exclusively():
        before = {f: f.read_bytes() for f in run.path.rglob("*") if f.is_file()}
        found = CliRunner().invoke(app, told[verb])
        assert isinstance(found.exception, TuneserveError)
        assert "another tuneserve command is working in this run directory" in str(found.exception)
        assert {f: f.read_bytes() for f in run.path.rglob("*") if f.is_file()} == before


@pytest.mark.parametrize("harmed", ["facts.jsonl", "facts.meta.json"])
@pytest.mark.parametrize("harm", ["gone", "flipped"])
def test_answers_that_are_not_what_was_answered_are_asked_again(tmp_path: Path, harm: str, harmed: str) -> None:
    run = answered(tmp_path)
    tasks = opened(tmp_path, "name=first")[1]
    evaluate_base(run, run.config(), tasks, NoServer())
    answers = run.eval / "base" / "facts.jsonl"
    file = answers.with_name(harmed)
    times = file.stat()
    if harm == "gone":
        file.unlink()
    else:
        file.write_text('{"id": "2"}\n', encoding="utf-8")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    mine = {answers.with_name(name): name for name in ("facts.jsonl.old", "notes.md")}
    for place, text in mine.items():
        place.write_text(text, encoding="utf-8")
    with pytest.raises(ServerStarted):
        evaluate_base(run, run.config(), tasks, NoServer())
    assert {place: place.read_text(encoding="utf-8") for place in mine} == mine
    assert not answers.exists()
    assert str(run.read().stages["base"].error).startswith("ServerStarted")


@pytest.mark.parametrize("name", ["chat_template.jinja", "additional_chat_templates/tool_use.jinja", "LICENSE.txt"])
def test_a_template_that_was_not_merged_is_not_served(tmp_path: Path, name: str) -> None:
    run, _ = opened(tmp_path, "name=merged")
    shutil.copytree(DEMO_MODEL, run.merged)
    with run.stage("merge", {}, [run.merged]):
        pass
    (run.merged / name).parent.mkdir(exist_ok=True)
    (run.merged / name).write_text("{{ messages[-1].content }}", encoding="utf-8")
    with nullcontext() if name == "LICENSE.txt" else pytest.raises(ConfigError, match=f"{name}: was not merged"):
        require_current(run, contents=True)


@pytest.mark.parametrize("harm", ["is gone", "is not what was written: its content changed"])
def test_a_shard_that_is_another_is_named_with_the_command_that_makes_it(tmp_path: Path, harm: str) -> None:
    run, _ = opened(tmp_path, "name=merged")
    run.merged.mkdir()
    for name in ("config.json", "model-1.safetensors"):
        (run.merged / name).write_text("{}", encoding="utf-8")
    with run.stage("merge", {}, [run.merged]):
        pass
    (run.merged / "model-1.safetensors").unlink()
    if harm != "is gone":
        (run.merged / "model-1.safetensors").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"merged/model-1.safetensors {harm}") as error:
        merged_target(RunDir.open(run.path), run.config())
    assert error.value.next_step == f"merge again: `tuneserve merge {run.path}`"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGKILL, "was killed (SIGKILL); most often the machine ran out of memory"),
        (signal.SIGBUS, "was ended by SIGBUS: a library crashed, or a file that it read was cut short"),
        (signal.SIGABRT, "was ended by SIGABRT"),
        (signal.SIGPROF, "the model's chat template took all its processor time for one row"),
    ],
)
def test_a_stage_that_a_signal_ends_is_said(number: signal.Signals, said: str) -> None:
    with pytest.raises(TuneserveError, match=re.escape(said)) as error:
        run_child("check", [sys.executable, "-c", f"import os; os.kill(os.getpid(), {number.value})"])
    assert error.value.next_step


def test_a_stage_that_was_asked_to_end_says_nothing_more() -> None:
    with pytest.raises(StageFailed) as ended:
        run_child("check", [sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"])
    assert ended.value.code == 128 + 15


def test_a_process_whose_torchrun_has_ended_before_it_could_look_ends_too(tmp_path: Path) -> None:
    """It would wait for the others for a day."""
    train = [*CLI, "train", str(ROOT / "configs" / "demo.yaml"), f"output_dir={tmp_path}"]
    told = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "none"}
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    left = ["sh", "-c", '"$@" &', "sh", *train]
    ended = subprocess.run(left, env=environment(tmp_path) | told, capture_output=True, text=True, timeout=60)
    assert "torchrun, which started this process, has ended" in ended.stderr

"""A training on two processes that is killed on one of them, goes on with one, is stopped, and goes on with two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from configs.disk.files import read_jsonl
from configs.run.rundir import RunDir
from tests.processes import lives
from tests.trainer.conftest import make_run, run_stage, stage_command, stage_environment
from trainer.sft.progress import read_log

pytestmark = pytest.mark.slow

TRAIN = {
    "plan": "manual", "micro_batch": 1, "rows_per_step": 7, "max_steps": 18, "save_steps": 4, "eval_steps": 6,
    "learning_rate": 3e-3,
}  # fmt: skip


def ranks_of(run: RunDir) -> list[psutil.Process]:
    """The processes that train, by rank."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "trainer.sft.rank" in words and str(run.path) in words:
            found[int(process.environ()["RANK"])] = process
    return [found[rank] for rank in sorted(found)]


def start(run: RunDir, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    environ = stage_environment(folder) | {"OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        return subprocess.Popen(
            stage_command("train", run), env=environ | {"TMPDIR": str(log.parent)}, cwd=folder,
            stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip


def wait_for(run: RunDir, process: subprocess.Popen[bytes], step: int) -> None:
    while not any(line["step"] >= step for line in read_log(run.logs / "train.jsonl")):
        assert process.poll() is None, "the training ended too early"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def story(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What was said when one of two processes was killed, and when the rest was stopped."""
    run = make_run(workshop, "two", train=TRAIN | {"num_gpus": 2})
    run_stage("data", run, folder=workshop)
    log, said = tmp_path_factory.mktemp("story") / "log", {}

    process = start(run, workshop, log)
    wait_for(run, process, 5)
    others = ranks_of(run)
    all_of_them = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    sockets = [socket for each in all_of_them for socket in each.net_connections("tcp")]
    open_to_all = [s.laddr for s in sockets if s.status == psutil.CONN_LISTEN and not s.laddr.ip.startswith("127.")]
    said["open to all"] = str(open_to_all)
    others[1].kill()
    said["killed code"] = str(process.wait(60))
    said["killed"] = log.read_text(encoding="utf-8")
    said["killed left"] = str([p.pid for p in others if lives(p)])
    said["killed record"] = str(run.read().stages["train"].error)

    make_run(workshop, "two", train=TRAIN | {"num_gpus": 1})
    alone = start(run, workshop, log)
    wait_for(run, alone, 10)
    os.kill(alone.pid, signal.SIGTERM)
    said["stopped code"] = str(alone.wait(60))
    said["alone"] = log.read_text(encoding="utf-8")

    make_run(workshop, "two", train=TRAIN | {"num_gpus": 2})
    process = start(run, workshop, log)
    said["end code"] = str(process.wait(120))
    said["end"] = log.read_text(encoding="utf-8")
    said["left in tmp"] = str([file.name for file in log.parent.iterdir() if file.name.startswith(("torch", "tune"))])
    return said


def test_a_rank_that_is_killed_ends_all_with_its_cause(story: dict[str, str]) -> None:
    assert story["killed code"] == "1"
    assert "the process of GPU 1 of 2 was killed (SIGKILL), and the others were ended" in story["killed"]
    assert story["killed"].count("error:") == 1
    assert "Traceback" not in story["killed"]
    assert story["killed left"] == "[]"
    assert "GPU 1 of 2 was killed" in story["killed record"]


def test_a_rank_ends_where_what_started_it_has_ended_before_it_could_look(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    rank = [sys.executable, "-m", "trainer.sft.rank", str(tmp_path), str(tmp_path), "1", str(gone.pid)]
    assert subprocess.run(rank, env=stage_environment(tmp_path) | {"RANK": "1"}, timeout=60).returncode == -9


def test_no_other_machine_reaches_what_the_processes_tell_each_other(story: dict[str, str]) -> None:
    assert story["open to all"] == "[]"
    assert story["left in tmp"] == "[]"


def test_it_goes_on_with_one_and_with_two(story: dict[str, str], workshop: Path) -> None:
    assert "goes on from checkpoint-4" in story["alone"]
    assert "on each of 2 GPUs" not in story["alone"]
    assert story["stopped code"] == str(128 + signal.SIGTERM)
    assert "goes on from checkpoint-8" in story["end"]
    assert story["end code"] == "0", story["end"]
    run = RunDir.open(workshop / "runs" / "two")
    steps = [line["step"] for _, line in read_jsonl(run.logs / "train.jsonl") if "loss" in line]
    assert steps == list(range(1, 19))
    assert run.read().stages["train"].figures["gpus"] == 2


def test_the_adapter_is_that_of_one_process_undisturbed(story: dict[str, str], workshop: Path) -> None:
    alone = make_run(workshop, "one", train=TRAIN)
    run_stage("data", alone, folder=workshop)
    run_stage("train", alone, folder=workshop)
    run = RunDir.open(workshop / "runs" / "two")
    ours, theirs = (load_file(each.adapter / "adapter_model.safetensors") for each in (run, alone))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() < 1e-3 * theirs[name].abs().max() + 1e-6, name
    logged = [
        [(line["step"], line.get("eval_loss", line.get("loss"))) for line in read_log(each.logs / "train.jsonl")]
        for each in (run, alone)
    ]
    assert [step for step, _ in logged[0]] == [step for step, _ in logged[1]]
    assert [value for _, value in logged[0]] == pytest.approx([value for _, value in logged[1]], rel=1e-3)
    proofs = [list(read_jsonl(each.data / "proof.jsonl")) for each in (run, alone)]
    for (_, ours_row), (_, theirs_row) in zip(*proofs, strict=True):
        assert ours_row["id"] == theirs_row["id"]
        assert ours_row["adapter_logprob"] == pytest.approx(theirs_row["adapter_logprob"], abs=1e-2)

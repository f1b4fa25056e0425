"""A training whose machine loses its power goes on as if nothing had happened, and not as something else."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from configs.model.fingerprint import content_hash
from configs.run.rundir import RunDir
from tests.trainer.conftest import make_run, run_script, run_stage
from trainer.sft.progress import read_log

pytestmark = pytest.mark.slow


KILLED_AT_25 = """
import os, signal, sys, threading, time
from configs.run.rundir import RunDir
from trainer.__main__ import main
from trainer.sft.progress import read_log
run, own, synced = RunDir.open(sys.argv[2]), os.fsync, {}
def fsync(descriptor):
    own(descriptor)
    synced[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_mtime_ns
os.fsync = fsync
def watch():
    while len(read_log(run.logs / "train.jsonl")) < 25:
        time.sleep(0.01)
    for file in filter(os.path.isfile, run.checkpoints.rglob("*")):
        if file.stat().st_mtime_ns > synced.get(file.stat().st_ino, 0):
            os.truncate(file, 0)  # what a power cut leaves of what the disk does not hold
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


def losses(run: RunDir) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in read_log(run.logs / "train.jsonl") if "loss" in line}


@pytest.fixture(scope="module")
def killed(workshop: Path, trained: RunDir) -> RunDir:
    """A run like the shared one, killed behind its second checkpoint, which is of the second epoch."""
    run = make_run(workshop, "killed", train=trained.config().train.model_dump(mode="json"))
    run_stage("data", run, folder=workshop)
    done = run_script(KILLED_AT_25, "train", str(run.path), folder=workshop)
    assert done.returncode == -signal.SIGKILL, "the training ended before it could be killed"
    return run


def changed(run: RunDir, workshop: Path, **train: Any) -> None:
    make_run(workshop, run.path.name, train=run.config().train.model_dump(mode="json") | train)


def test_resume_after_a_kill_gives_the_uninterrupted_curve(killed: RunDir, trained: RunDir, workshop: Path) -> None:
    assert killed.read().stages["train"].state == "running"
    changed(killed, workshop, learning_rate=1e-3)
    refused = run_stage("train", killed, folder=workshop, check=False)
    assert refused.returncode == 1
    assert "train.learning_rate was 0.003, is 0.001" in refused.stderr
    assert "--force" in refused.stderr

    changed(killed, workshop, learning_rate=3e-3)
    shell = b"cos\nsystem\n(S'touch /tmp/\x1b]52;c;'\ntR."  # a pickle that calls it
    for name, planted in ("optimizer.pt", shell), ("scaler.pt", b"x"):
        file = killed.checkpoints / "checkpoint-20" / name
        whole = file.read_bytes() if file.exists() else b""
        file.write_bytes(planted)
        refused = run_stage("train", killed, folder=workshop, check=False)
        assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
        assert "checkpoint-20: a file in it is damaged, or holds code, which is not run" in refused.stderr
        file.write_bytes(whole)
        if not whole:
            file.unlink()

    done = run_stage("train", killed, folder=workshop)
    assert "goes on from checkpoint-20" in done.stdout
    figures, lines = killed.read().stages["train"].figures, read_log(killed.logs / "train.jsonl")
    assert figures["resumed_from"] == "checkpoint-20"
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    assert figures["train_seconds"] >= seconds[-1]
    assert figures["peak_gb"] >= max(line.get("peak_gb", 0) for line in lines)
    tokens = read_log(trained.logs / "train.jsonl")[-1]["tokens"]
    assert figures["tokens_per_s"] * figures["train_seconds"] == pytest.approx(tokens, rel=0.05)
    ours, theirs = losses(killed), losses(trained)
    assert list(ours) == list(theirs)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_training_that_was_killed_behind_its_last_step_trains_no_further_one(workshop: Path) -> None:
    run = make_run(workshop, "ended", train={"max_steps": 2, "save_steps": 1, "scheduler": "constant"})
    run_stage("data", run, folder=workshop)
    run_stage("train", run, folder=workshop)
    before = content_hash(run.adapter / "adapter_model.safetensors"), losses(run)
    stages = json.loads(run.manifest_file.read_text(encoding="utf-8"))
    stages["stages"]["train"]["state"] = "running"
    run.manifest_file.write_text(json.dumps(stages), encoding="utf-8")
    run_stage("train", run, folder=workshop)
    figures = run.read().stages["train"].figures
    assert (figures["resumed_from"], figures["steps"]) == ("checkpoint-2", 2)
    assert (content_hash(run.adapter / "adapter_model.safetensors"), losses(run)) == before

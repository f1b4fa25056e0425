"""What a training that was cut off goes on from, and what is said when the disk is full."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from configs.errors import TuneserveError
from configs.run.rundir import RunDir
from tests.trainer.conftest import make_run, run_script, run_stage
from trainer.sft.checkpoints import find_checkpoint, full_disk_said, last_checkpoint


def checkpoint(run: RunDir, step: int, state: str = "{}") -> Path:
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(state, encoding="utf-8")
    (folder / "optimizer.pt").write_bytes(b"state")
    return folder


@pytest.mark.parametrize("state", ["", '{"log_history": [', None, "{}"])
def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path: Path, state: str | None) -> None:
    run = RunDir(tmp_path)
    whole, cut = checkpoint(run, 9), checkpoint(run, 10, state or "")
    if state is None:
        (cut / "trainer_state.json").unlink()
    if state == "{}":
        (cut / "rng_state.pth").touch()
    assert last_checkpoint(run) == whole


def test_no_training_goes_on_from_another_one_s_checkpoint_in_a_linked_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path, "linked")
    elsewhere = tmp_path / "big-disk"
    elsewhere.mkdir()
    run.checkpoints.symlink_to(elsewhere)
    with run.stage("train", {"train.epochs": 1}):
        checkpoint(run, 9)
        (elsewhere / "mine").touch()
    assert find_checkpoint(run, {"train.epochs": 2}, force=False) is None
    with pytest.raises(KeyboardInterrupt), run.stage("train", {"train.epochs": 2}):
        raise KeyboardInterrupt
    assert find_checkpoint(run, {"train.epochs": 2}, force=False) is None
    assert run.checkpoints.is_symlink()
    assert [file.name for file in elsewhere.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/3: file write failed"),
        RuntimeError("Error while serializing: I/O error: File too large (os error 27)"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)  # fmt: skip
def test_every_library_s_words_for_a_full_disk_become_one_error(tmp_path: Path, error: Exception) -> None:
    run = RunDir(tmp_path)
    checkpoint(run, 10)
    with pytest.raises(TuneserveError, match="the disk is full") as said, full_disk_said(run):
        raise error
    assert "it goes on from checkpoint-10; `train.save_steps=0 --force`" in said.value.next_step


def test_other_errors_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), full_disk_said(RunDir(tmp_path)):
        raise RuntimeError("shapes differ")


ON_A_SMALL_DISK = """
import ctypes, os, shutil, subprocess, sys
from pathlib import Path
from trainer.__main__ import main
run, place = map(Path, sys.argv[1:])
ids = {"uid_map": f"0 {os.getuid()} 1", "gid_map": f"0 {os.getgid()} 1"}
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000
if ctypes.CDLL(None).unshare(NEW_USER | NEW_MOUNTS):
    sys.exit(77)
for file, text in {"setgroups": "deny", **ids}.items():
    Path("/proc/self", file).write_text(text)
shutil.copytree(run, place / "copy")
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", run], check=True)
shutil.copytree(place / "copy", run, dirs_exist_ok=True)
code = main(["train", str(run)])
shutil.copy(run / "run.json", place)
sys.exit(code)
"""


@pytest.mark.slow
def test_a_training_whose_disk_fills_up_ends_with_the_next_step_and_goes_on(workshop: Path, tmp_path: Path) -> None:
    few = {"max_steps": 6, "save_steps": 2, "eval_steps": 0, "save_total_limit": 9}
    run = make_run(workshop, "full-disk", train=few)
    run_stage("data", run, folder=workshop)
    done = run_script(ON_A_SMALL_DISK, str(run.path), str(tmp_path), folder=workshop)
    if done.returncode == 77:
        pytest.skip("this kernel does not let us mount a small disk")
    assert "error: " in done.stderr
    assert "the disk is full" in done.stderr
    assert "free space and run the same command: it goes on from" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    stage = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["stages"]["train"]
    assert stage["state"] in ("failed", "running")
    # With room it is trained.
    run_stage("train", run, folder=workshop)
    assert run.read().stages["train"].state == "done"

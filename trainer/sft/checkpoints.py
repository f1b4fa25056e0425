"""Checkpoints of a training that was cut off, and the disk that they need."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.disk.files import file_bytes, found_no_room, parse_json, remove_folder
from configs.errors import TuneserveError
from configs.run.rundir import RunDir, as_json
from configs.terminal.console import shell

_FULL_BELOW_BYTES = 1 << 20


def find_checkpoint(run: RunDir, inputs: Mapping[str, Any], *, force: bool) -> Path | None:
    """The checkpoint that a run which was cut off goes on from; None starts anew (and clears old checkpoints away).

    Raises:
        TuneserveError: it was cut off under other inputs, and `force` does not say to go on all the same.
    """
    newest = last_checkpoint(run)
    stage = run.read().stages.get("train")
    if newest is None or stage is None or stage.state == "done":
        _clear(run.checkpoints)
        return None
    wanted = as_json(inputs)
    changed = sorted(k for k in wanted.keys() | stage.inputs.keys() if wanted.get(k) != stage.inputs.get(k))
    if changed and not force:
        shown = "; ".join(f"{k} was {stage.inputs.get(k)!r}, is {wanted.get(k)!r}" for k in changed[:4])
        raise TuneserveError(
            f"{newest}: this run was cut off under other settings ({shown}); going on would bend the loss curve",
            f"put it back, or delete {run.checkpoints} to start anew, or go on all the same with --force",
        )
    return newest


def last_checkpoint(run: RunDir) -> Path | None:
    """The newest complete checkpoint."""
    return next(filter(_is_complete, reversed(_checkpoints(run.checkpoints))), None)


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoints by their step, complete or not."""
    steps = {file: file.name.removeprefix("checkpoint-") for file in folder.glob("checkpoint-*")}
    return sorted((file for file, step in steps.items() if step.isdecimal()), key=lambda file: int(steps[file]))


def _clear(folder: Path) -> None:
    """Removes every checkpoint: no training goes on from one that another recipe wrote.

    The folder stays: it may be a link to another disk, or one that is mounted there.
    """
    for checkpoint in _checkpoints(folder):
        remove_folder(checkpoint)


@contextmanager
def full_disk_said(run: RunDir) -> Iterator[None]:
    """Inside, whatever a library raises because the disk is full becomes one error with its next step.

    Raises:
        TuneserveError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        if not _disk_is_full(error, run.path):
            raise
        at = last_checkpoint(run)
        free = shutil.disk_usage(run.path).free
        raise TuneserveError(
            f"{run.path}: the disk is full ({free / 1e6:.1f} MB free), or `ulimit -f` is reached: "
            "training could not write what it had to",
            f"free space and run the same command: it goes on from {at.name if at else 'the start'}; "
            "`train.save_steps=0 --force` saves no checkpoints, train.save_total_limit=1 keeps one",
        ) from error


def reading(checkpoint: Path, read: Callable[[], Any]) -> Any:
    """What reading a part of a checkpoint gives; most are pickles, which the restricted loader of torch takes apart.

    Raises:
        TuneserveError: the part is damaged, or holds code, which is not run.
    """
    try:
        return read()
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise  # the plan gives way to it
        raise TuneserveError(
            f"{checkpoint}: a file in it is damaged, or holds code, which is not run ({type(error).__name__})",
            f"remove it ({shell('rm', '-r', checkpoint)}) and run the same command: it goes on from the one before",
        ) from error


def _is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end: its state comes last, and a kill or a full disk can cut that too.

    What a power cut leaves of a file that the disk does not hold yet is empty.
    """
    try:
        parse_json(file_bytes(checkpoint / "trainer_state.json"))
    except (OSError, ValueError):
        return False
    loaded = [file for file in checkpoint.iterdir() if file.suffix in (".pt", ".pth", ".safetensors")]
    return checkpoint / "optimizer.pt" in loaded and all(file.stat().st_size for file in loaded)


def _disk_is_full(error: BaseException, folder: Path) -> bool:
    if found_no_room(error):
        return True
    return not isinstance(error, TuneserveError) and shutil.disk_usage(folder).free < _FULL_BELOW_BYTES

"""The trainer's stages as child processes, so that each gives all of its GPU memory back when it ends."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from configs.disk.files import aside
from configs.errors import TuneserveError
from configs.process import child
from configs.run.rundir import Inputs, RunDir, as_json
from configs.terminal.console import INSTALL, detail, done, shell, warn
from scripts.debugging import debugging
from trainer.export.model_card import write_model_card

_ASKED_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StageFailed(SystemExit):
    """A child process failed and has said why; the command ends with its exit code."""


def run_stage(
    stage: Literal["data", "train", "foreign", "merge"],
    run: RunDir,
    *options: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Runs one stage of the trainer in a process of its own, on this terminal.

    Args:
        stage: which one.
        run: the run directory.
        options: further arguments of the process.
        environment: variables of the process, beside those of this one.

    Raises:
        StageFailed: with the child's exit code; the child has printed the error.
    """
    run_child(stage, [sys.executable, "-m", "trainer", stage, str(run.path), *options], environment)


def forget_other_outputs(
    run: RunDir, stage: str, inputs: Inputs, folders: Sequence[Path], but: Collection[str] = ()
) -> None:
    """Removes what a stage wrote under other inputs; what an interrupted one wrote under the same ones stays.

    Files that are not as they were written are put out of the way, so that they are made again. With the meta file of
    answers these go, too: without it they would pass for somebody's own file.

    Args:
        but: inputs of which another value leaves what was written.
    """
    record = run.read().stages.get(stage)
    before = {key: value for key, value in (record.inputs if record else {}).items() if key not in but}
    if record is None or before != {key: value for key, value in as_json(inputs).items() if key not in but}:
        for folder in folders:
            run.remove_outputs(stage, folder)
    for path, _ in list(run.changed_outputs(stage)):
        file = run.path / path
        for lost in {file, file.with_name(file.name.replace(".meta.json", ".jsonl"))}:
            if lost.is_file():
                lost.replace(aside(lost))


def put_model_card(run: RunDir) -> None:
    """Writes the model card, or says that somebody's own stays."""
    if write_model_card(run) is None:
        warn(f"{run.merged / 'README.md'} was changed by you, and stays as it is; remove it to have it written anew")


def stage_done(run: RunDir, stage: str, text: str) -> None:
    """The line of a stage that is finished, with the seconds that the manifest has of it."""
    done(stage, run.read().stages[stage].seconds or 0.0, text)


def run_child(stage: str, command: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Runs a command of the trainer and waits for it; what interrupts the wait ends it too.

    Raises:
        StageFailed: with the child's exit code; the child has printed the error.
        TuneserveError: the child was killed, or its packages are not installed.
    """
    needed = ("tokenizers", "pyarrow") if stage == "check" else ("tokenizers", "pyarrow", "torch", "unsloth", "trl")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise TuneserveError(f"{', '.join(missing)} not installed here, and `{stage}` needs it", INSTALL)
    detail(shell(*command))
    code = child.run_child([*command, *(["--debug"] if debugging() else [])], {**os.environ, **environment})
    if code == -signal.SIGKILL:
        raise TuneserveError(
            f"the {stage} stage was killed (SIGKILL); most often the machine ran out of memory",
            "free memory, or take a smaller model or micro-batch, then run the same command: it goes on",
        )
    if code == -signal.SIGPROF:
        raise TuneserveError(
            f"the {stage} stage was stopped: the model's chat template took all its processor time for one row",
            "take the template of the model's own publisher; this one loops, or builds a text without end",
        )
    if code < 0 and -code not in _ASKED_TO_END:
        raise TuneserveError(
            f"the {stage} stage was ended by {signal.Signals(-code).name}: a library crashed, or a file that it read "
            "was cut short meanwhile",
            "run the same command again: it goes on; if it ends so again, `tuneserve doctor` looks at the installation",
        )
    if code != 0:
        raise StageFailed(code if code > 0 else 128 - code)

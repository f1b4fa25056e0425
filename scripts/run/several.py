"""A command that torchrun or `accelerate launch` started several times: rank 0 does the work, the others train."""

from __future__ import annotations

import os
from pathlib import Path

from configs.errors import ConfigError, TuneserveError
from configs.process.child import die_with
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from scripts.run.stages import run_stage
from trainer.gpus.started import HIDDEN, forget_others, rank_of_this, started_by_others


def follows(config: RunConfig) -> bool:
    """Whether this process is one of the others; then it has trained with rank 0, and has nothing more to do.

    Called before anything is written. The run directory is rank 0's to make; on several machines all must see it.
    """
    if started_by_others() == 1:
        return False
    launcher = os.getppid()
    die_with(launcher)
    if _took_in(launcher):
        raise TuneserveError(
            "torchrun, which started this process, has ended", "start all of them by one torchrun; docs/gpus.md"
        )
    if rank_of_this() == 0:
        return False
    run_stage("train", RunDir((Path(config.output_dir) / config.name).resolve()))
    return True


def _took_in(parent: int) -> bool:
    """Whether a parent is no torchrun, but the system's own process that takes in whose parent has ended.

    In a container torchrun may be process 1.
    """
    try:
        program = Path(os.readlink(f"/proc/{parent}/exe")).name
    except OSError:  # another user's
        program = ""
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    return by_torchrun and (program == "systemd" or (parent == 1 and not program.startswith("python")))


def keep_others_for_training() -> dict[str, str]:
    """Variables that tell of the others, for the train stage alone: a server would look for them, and wait."""
    given = {name: os.environ[name] for name in HIDDEN if name in os.environ}
    forget_others()
    return given


def require_alone() -> None:
    """Raises a ConfigError where torchrun started this command, which serves and asks beside training."""
    if started_by_others() > 1:
        raise ConfigError(
            f"`tuneserve run` was started as one of {started_by_others()} processes; only training is for several",
            "start `tuneserve train` so, then `tuneserve run` by itself: what is trained is not trained again",
        )

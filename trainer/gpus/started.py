"""Whether torchrun or `accelerate launch` started this process as one of several. Imports no torch."""

from __future__ import annotations

import os

from configs.recipe.schema import RunConfig

HIDDEN = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK",
    "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT",
    "TORCHELASTIC_MAX_RESTARTS", "TORCHELASTIC_USE_AGENT_STORE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_SIZE",
)  # fmt: skip
"""Environment variables by which a library finds out that there are other processes."""


def started_by_others() -> int:
    """Processes that were started to train together, this one included; 1 where it is the only one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank_of_this() -> int:
    """The number of this process among them; 0 where it is the only one."""
    return int(os.environ.get("RANK", "0"))


def forget_others() -> None:
    """Takes what tells of other processes out of the environment, for libraries that are not to know of them."""
    for name in HIDDEN:
        os.environ.pop(name, None)


def gpus_for(config: RunConfig) -> int:
    """GPUs that train: as many as processes were started from outside, else what the recipe asks for."""
    outside = started_by_others()
    return outside if outside > 1 else config.train.num_gpus

"""Which optimizer a run takes, and what its state costs. No torch."""

from __future__ import annotations

from configs.machine.gpus import Kind
from configs.recipe.schema import TrainConfig


def choose_optimizer(train: TrainConfig, device: Kind) -> tuple[str, str]:
    """The optimizer's name in transformers, and why.

    `auto` takes 8-bit states where they are worth their time: under full fine-tuning. An adapter's states are small,
    and bitsandbytes updates its hundreds of tensors one by one, waiting for the GPU after each.
    """
    wanted = train.optimizer
    if wanted == "auto":
        if device == "cpu":
            return "adamw_torch", "auto: the one that a CPU has"
        if train.method == "full":
            return "adamw_8bit", "auto: every weight has a state, in 8 bits it takes a quarter of the memory"
        return "adamw_torch_fused", "auto: updates the whole adapter at once"
    if device == "cpu" and ("8bit" in wanted or "paged" in wanted or "fused" in wanted):
        return "adamw_torch", f"{wanted} has no CPU kernels"
    return wanted, "train.optimizer"


def state_bytes(optimizer: str) -> int:
    """Bytes of state for a trained parameter: two moments, in 8 bits or in fp32."""
    return 2 if "8bit" in optimizer else 8

"""What is known once the data are prepared, planned and trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, computed_field

from configs.handover.base import HandedOver

Family = Literal["none", "switchable", "always"]
"""How a chat template treats thinking: it never writes a think block, `enable_thinking` decides, or the prompt always
opens one."""


class PreparedFacts(HandedOver):
    """What the data stage found out."""

    base_model: Path
    """Resolved local folder of the base."""
    family: Family
    """How its chat template treats thinking."""
    thinking: bool
    """Thinking mode that the rows were rendered for."""
    end_token: str
    """Token that ends an assistant's turn; the last label of every answer."""
    end_token_id: int
    """Its id."""
    template_sha256: str
    """Hash of the chat template's text."""
    system: str | None
    """System prompt that was put before conversations without one."""
    longest_row: int
    """Longest row in tokens, held-out rows included."""


class UnslothFacts(HandedOver):
    """What Unsloth did, read back from the model and the trainer as they stood."""

    version: str
    """Unsloth's version."""
    backend: Literal["cpu", "gpu"]
    """Where the model lay."""
    layers: int
    """Layers of the model."""
    patched_layers: dict[str, int]
    """Layers that run Unsloth's fused LoRA kernels, by kernel (qkv, o, mlp)."""
    adapted_linears: int
    """Linear layers with an adapter."""
    trainable_parameters: int
    """Numbers that training changes."""
    parameters: int
    """Numbers in all."""
    attention: str
    """Attention implementation."""
    precision: Literal["16bit", "8bit", "4bit"]
    """How the base was held, by the kind of its linear layers."""
    packing: bool
    """Whether TRL packed rows."""
    padding_free: bool
    """Whether rows were laid end to end."""
    gradient_checkpointing: bool
    """Whether activations were recomputed."""
    kept_layers: int
    """Layers that were left out of it."""
    optimizer: str
    """Optimizer, by its name in transformers."""
    dtype: str
    """Number format of the parameters."""
    bf16_autocast: bool
    """Whether autocast computed in bf16."""


class Plan(HandedOver):
    """The layout of training."""

    rows_per_step: int
    """Rows of one optimizer step."""
    micro_batch: int
    """Rows of one forward pass."""
    accumulation: int
    """Forward passes of one optimizer step on each GPU; rows_per_step = micro_batch * accumulation * gpus, or less
    where the rows do not divide by the GPUs."""
    gpus: int = 1
    """GPUs, each with the whole model and its part of the rows of a step."""
    padding_free: bool
    """Whether rows are laid end to end."""
    checkpointing: Literal["unsloth", "on", "off"]
    """Whether activations are recomputed, and by whom."""
    kept_layers: int = 0
    """Layers that keep their activations although the others recompute them."""
    turned_copy: bool = False
    """Whether weights in FP8 are held a second time, with rows and columns changed, for the backward pass."""
    dtype: Literal["bfloat16", "float16", "float32"]
    """Number format of weights and activations."""
    optimizer: str
    """Optimizer, by its name in transformers."""
    learning_rate: float
    """Peak rate; differs from the recipe's only under `rows_per_step: auto`."""
    graphs: bool
    """Whether steps are recorded as CUDA graphs."""
    group_by_length: bool
    """Whether rows of like length share a forward pass, which is what saves padding."""
    reasons: dict[str, str]
    """Why, by the decision's name."""

    def summary(self) -> str:
        """One line for the log of a run."""
        laid_out = "padding-free" if self.padding_free else "padded, rows of like length together"
        return (
            f"{self.rows_per_step} rows a step = {self.micro_batch} x {self.accumulation}"
            f"{f' on each of {self.gpus} GPUs' if self.gpus > 1 else ''}, {laid_out}; {self.dtype}, "
            f"checkpointing {self.checkpointing}{f' but for {self.kept_layers} layers' if self.kept_layers else ''}, "
            f"{'two copies of the weights in FP8, ' if self.turned_copy else ''}"
            f"{self.optimizer} at {self.learning_rate:.3g}"
            f"{', steps recorded as CUDA graphs' if self.graphs else ''}"
        )


class TrainedFacts(HandedOver):
    """What training found out."""

    lora_rank: int
    """Rank of the adapter."""
    lora_modules: list[str]
    """Layers that got one."""
    precision_asked: Literal["16bit", "8bit", "4bit"]
    """How the recipe wanted the base to be held."""
    unsloth: UnslothFacts
    """What Unsloth did of it."""
    plan: Plan
    """The layout that the training ended under."""
    backed_off_from: Plan | None
    """The layout that ran out of memory before; None where none did."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """What decides what is trained, by key (`configs.run.merged.trained_recipe`); empty of an earlier version."""


class RecordedFigures(HandedOver):
    """Which forward and backward passes came from CUDA graphs."""

    sizes: list[int]
    """Tokens of every size that was recorded."""
    mean_tokens: float
    """Mean tokens of a recorded pass, what fills it up included."""
    passes: int
    """Passes that came from a recording."""
    other_passes: int
    """Passes that did not."""
    gradient_cosine: float | None
    """Cosine between the first recorded gradient and the unrecorded one of the same step."""
    off: str
    """Why nothing was recorded any more; empty where nothing went wrong."""
    updates_off: str
    """Why the updates were not recorded; empty where they were."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> float:
        """Share of the passes that came from a recording."""
        return round(self.passes / max(1, self.passes + self.other_passes), 4)


class LoopFigures(HandedOver):
    """What the training loop measured, on all GPUs together."""

    steps: int
    """Optimizer steps, those before a resume included."""
    loss: float
    """Mean training loss over all those steps, in nats per trained token."""
    heldout_loss: float | None
    """Loss on held-out rows of what was kept: at the last evaluation, or the lowest where the recipe keeps the best."""
    best_heldout_loss: float | None
    """The lowest one, where the recipe keeps the best."""
    train_seconds: float
    """Seconds that all those steps took."""
    tokens_per_s: float
    """Tokens a second since the start or the resume, padding left out."""
    peak_gb: float
    """Peak memory in GB of 1e9 bytes: the GPU's (the fullest of several), or this process's on a CPU."""
    first_batch_rows_checked: int
    """Answers of the first batch that were decoded and compared with the data."""
    recorded: RecordedFigures | None = None
    """What was recorded as CUDA graphs; None where nothing was to be."""
    soft_rows: int = 0
    """Rows that were trained by the base's own probabilities (`data.selfmade.soft_targets`)."""


class TrainFigures(LoopFigures):
    """What training measured: the figures of the stage `train`, which report and model card show."""

    gpus: int = 1
    """GPUs that trained together."""
    device: str
    """What trained."""
    planned_steps: int
    """Optimizer steps that were planned."""
    learning_rate: float
    """Peak learning rate."""
    resumed_from: str | None
    """Checkpoint that training went on from."""
    backed_off: bool
    """Whether memory ran out and a smaller layout was taken."""

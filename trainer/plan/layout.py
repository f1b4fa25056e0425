"""How the rows of an optimizer step are laid out for the device at hand; every decision comes with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from configs.errors import ConfigError
from configs.handover.training import Plan
from configs.machine.gpus import Device
from configs.model.shape import ModelShape, UnknownShape
from configs.recipe.schema import LoraConfig, RunConfig, TrainConfig
from trainer.architectures import Paths, paths_of
from trainer.plan.candidates import ENOUGH_STEPS, Candidate, choose, divisors, optimizer_steps, why_not_recorded
from trainer.plan.estimate import Checkpointing
from trainer.plan.optimizers import choose_optimizer

ALL_PATHS = Paths()
CPU_TOKENS = 4096
"""Tokens of one padded forward pass on a CPU: more does not run faster, it only takes memory."""

RATE_ROWS = 8
"""Rows a step that `train.learning_rate` is meant for under `rows_per_step: auto`: the default of `rows_per_step`."""


def predicted_layout(
    config: RunConfig, model: Path, lengths: Sequence[int], device: Device, gpus: int = 1
) -> tuple[Candidate, str] | None:
    """The layout that the memory and time model takes for `plan: auto` on a GPU, and why.

    None where nothing is predicted: on a device whose rates are not known (a CPU, a GPU that is not NVIDIA's), under
    `plan: manual`, and for models that are no dense decoders.
    """
    if not device.tflops or config.train.plan == "manual":
        return None
    try:
        shape = ModelShape.load(model)
    except UnknownShape:
        return None
    return choose(paths_of(model).possible(config.train), config.lora, shape, lengths, device, gpus)


def make_plan(
    train: TrainConfig,
    lora: LoraConfig,
    lengths: Sequence[int],
    device: Device,
    layout: tuple[Candidate, str] | None = None,
    gpus: int = 1,
    paths: Paths = ALL_PATHS,
) -> Plan:
    """The layout for these row lengths (tokens) on this device; `layout` is what `predicted_layout` gave.

    `paths` says which of the quicker ways the model cannot take.

    `rows_per_step` is kept exactly: the micro-batch is a divisor of each GPU's share. The loss is normalized over the
    trained tokens of the whole step, so the layout changes speed and memory, never the gradient.
    """
    dtype, dtype_why = choose_dtype(device)
    optimizer, optimizer_why = choose_optimizer(train, device.kind)
    budget, budget_why = token_budget(device)
    longest = max(lengths)
    mean = sum(lengths) / len(lengths)
    if train.rows_per_step == "auto" and layout is not None:
        rows_per_step = layout[0].rows_per_step
        rows_why = f"auto: the fewest that come near the best throughput and leave {ENOUGH_STEPS} steps"
    elif train.rows_per_step == "auto":
        rows_per_step = max(1, min(len(lengths), round(budget / mean)))
        rows_why = f"auto: {rows_per_step} rows of {mean:.0f} tokens fill {budget} tokens"
    else:
        rows_per_step, rows_why = min(train.rows_per_step, len(lengths)), "train.rows_per_step"
    learning_rate, rate_why = choose_learning_rate(train, rows_per_step)
    share = math.ceil(rows_per_step / gpus)
    padding_free, padding_why = choose_padding_free(train.padding_free, device, paths)
    checkpointing: Checkpointing = train.gradient_checkpointing
    if train.plan == "manual":
        micro_batch = math.gcd(share, train.micro_batch)
        divided = f"{rows_per_step} rows a step" if gpus == 1 else f"the {share} rows of each GPU"
        micro_why = f"train.micro_batch={train.micro_batch}" + (
            f", brought down to divide {divided}" if micro_batch != train.micro_batch else ""
        )
        checkpointing_why = "train.gradient_checkpointing"
    elif layout is not None:
        micro_batch, checkpointing = layout[0].micro_batch, layout[0].checkpointing
        micro_why = layout[1]
        checkpointing_why = (
            f"{layout[0].memory.needed_gb:.1f} GB are needed so, {layout[0].usable_gb:.1f} GB can be used"
        )
    else:
        fits = [n for n in divisors(share) if n * longest <= budget]
        micro_batch = max(fits, default=1)
        micro_why = f"{micro_batch} rows of at most {longest} tokens within {budget_why}"
        checkpointing, checkpointing_why = choose_checkpointing(device, micro_batch * longest)
    accumulation = share // micro_batch
    graphs, graphs_why = choose_graphs(train, lora, device, checkpointing, micro_batch * mean, paths)
    return Plan(
        rows_per_step=rows_per_step,
        micro_batch=micro_batch,
        accumulation=accumulation,
        gpus=gpus,
        padding_free=padding_free,
        checkpointing=checkpointing,
        kept_layers=layout[0].kept_layers if layout is not None else 0,
        turned_copy=layout[0].turned_copy if layout is not None else False,
        dtype=dtype,
        optimizer=optimizer,
        learning_rate=learning_rate,
        graphs=graphs,
        # Of several GPUs each gets rows of like length out of a step, whose rows are drawn as they come.
        group_by_length=not padding_free and micro_batch > 1 and gpus == 1,
        reasons={
            **({"gpus": several_why(rows_per_step, gpus)} if gpus > 1 else {}),
            "rows_per_step": rows_why,
            "micro_batch": micro_why,
            "padding_free": padding_why,
            "checkpointing": checkpointing_why,
            "dtype": dtype_why,
            "optimizer": optimizer_why,
            "learning_rate": rate_why,
            "graphs": graphs_why,
        },
    )


def does_not_fit_each(layout: Candidate, train: TrainConfig, device: Device) -> ConfigError | None:
    """Why a model is not trained on several GPUs: more of them do not hold more. None where it fits each.

    Args:
        layout: what was chosen.
        train: the recipe's section.
        device: one of the GPUs.
    """
    if layout.fits:
        return None
    less = {"16bit": ["8bit"] * device.fp8 + ["4bit"], "8bit": ["4bit"], "4bit": []}[train.precision]
    smaller = f"set train.precision={less[0]}, or " if less else ""
    return ConfigError(
        f"train.num_gpus: each of {layout.gpus} {device.name} has the whole model, which in {layout.precision} "
        f"{layout.why_not}",
        f"{smaller}set a lower data.max_length, or take a smaller model or larger GPUs; see `tuneserve check`",
    )


def several_why(rows_per_step: int, gpus: int) -> str:
    """What the GPUs do with the rows of a step."""
    idle = f"; {gpus - rows_per_step} of them have none, so set train.rows_per_step higher"
    return f"each has the whole model and about {rows_per_step / gpus:.3g} of the {rows_per_step} rows of a step" + (
        idle if gpus > rows_per_step else ""
    )


def choose_dtype(device: Device) -> tuple[Literal["bfloat16", "float16", "float32"], str]:
    """Number format of weights and activations, and why."""
    if device.kind == "cpu":
        return "float32", "a CPU: small bf16 products run many times slower there than fp32 ones"
    if device.bf16:
        return "bfloat16", f"{device.name} computes bf16"
    return "float16", f"{device.name} has no bf16"


def choose_learning_rate(train: TrainConfig, rows_per_step: int) -> tuple[float, str]:
    """Peak learning rate for that many rows a step, and why.

    A recipe's rate is meant for 8 rows a step. Where `auto` takes another number, the rate of an optimizer of Adam's
    kind goes with the square root of their ratio (Malladi et al. 2022, arXiv 2205.10287); its betas stay as they are.
    """
    if train.rows_per_step != "auto" or rows_per_step == RATE_ROWS:
        return train.learning_rate, "train.learning_rate"
    if "adam" not in train.optimizer and train.optimizer != "auto":
        return train.learning_rate, f"train.learning_rate: no rule is known for {train.optimizer}, so it stays"
    rate = train.learning_rate * math.sqrt(rows_per_step / RATE_ROWS)
    return rate, (
        f"train.learning_rate={train.learning_rate:g} x sqrt({rows_per_step} / {RATE_ROWS} rows a step), "
        "Malladi et al. 2022 (arXiv 2205.10287)"
    )


def precision_warning(train: TrainConfig, device: Device) -> str | None:
    """What to say of 8 bits on a CPU, which has no 8-bit products; None elsewhere."""
    if train.precision == "8bit" and train.method == "lora" and device.kind == "cpu":
        return (
            "train.precision=8bit: a CPU rounds weights and activations as a GPU with FP8 does, and multiplies them in "
            "fp32; that is for trying a recipe, train.precision=16bit is faster here"
        )
    return None


def no_fp8(train: TrainConfig, device: Device) -> ConfigError | None:
    """The refusal of 8 bits where the GPU has no 8-bit floating-point products; None where it has, and on a CPU."""
    if train.precision != "8bit" or train.method == "full" or device.kind == "cpu" or device.fp8:
        return None
    assert device.capability is not None
    capability = ".".join(map(str, device.capability))
    return ConfigError(
        f"train.precision=8bit: {device.name} has no FP8 (compute capability {capability}; FP8 came with 8.9: RTX 40, "
        "L4, L20, L40S, H20, H100)",
        "set train.precision=4bit, or 16bit where it fits",
    )


def choose_padding_free(wanted: bool, device: Device, paths: Paths = ALL_PATHS) -> tuple[bool, str]:
    """Whether rows are laid end to end, and why."""
    if not wanted:
        return False, "train.padding_free"
    if paths.padding_free:
        return False, paths.padding_free
    if device.kind == "cpu":
        return False, "no variable-length attention on a CPU: rows of like length are padded together instead"
    return True, "train.padding_free"


def choose_graphs(
    train: TrainConfig,
    lora: LoraConfig,
    device: Device,
    checkpointing: Checkpointing,
    tokens: float,
    paths: Paths = ALL_PATHS,
) -> tuple[bool, str]:
    """Whether steps are recorded as CUDA graphs, and why."""
    if device.kind == "cpu":
        return False, "a CPU has none"
    if not device.bf16:
        return False, "fp16 scales the loss step by step"
    if paths.own_functions:
        return False, paths.own_functions
    if why := why_not_recorded(train, lora, checkpointing, tokens):
        return False, why
    return True, f"launched at once: {tokens:.0f} tokens a pass leave the GPU waiting for the host otherwise"


def token_budget(device: Device) -> tuple[int, str]:
    """Tokens of one forward pass that are fast and fit, and what set the number."""
    if device.kind == "cpu":
        return CPU_TOKENS, f"{CPU_TOKENS} tokens a forward pass on a CPU"
    tokens = int(2048 * max(1.0, device.memory_gb / 10))
    return tokens, f"{tokens} tokens a forward pass for {device.memory_gb:.0f} GB"


def choose_checkpointing(device: Device, tokens: int) -> tuple[Checkpointing, str]:
    """Whether activations are recomputed, and why."""
    if device.kind == "cpu" and tokens <= CPU_TOKENS:
        return "off", f"{tokens} tokens of activations fit"
    return "unsloth", "saves memory at little time"


def count_steps(rows: int, plan: Plan, train: TrainConfig) -> int:
    """Optimizer steps of the run, as transformers counts them."""
    return optimizer_steps(rows, plan.rows_per_step, train)

"""Every layout of training that could be taken on a GPU, with predicted memory and time, and the one to take. No torch.

The micro-batches are not guessed from mean and maximum: the shuffled epochs are drawn from the true row lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from configs.gpus import Device
from configs.model_shape import ModelShape
from configs.schema import LoraConfig, TrainConfig
from trainer.plan.estimate import (
    Batches,
    Checkpointing,
    Memory,
    Precision,
    Setup,
    estimate_memory,
    estimate_time,
    usable_gb,
)
from trainer.plan.optimizers import choose_optimizer
from trainer.plan.sizes import PassSize, choose_sizes, size_for

AUTO_ROWS = (8, 16, 32, 64, 128)
"""Rows a step that `train.rows_per_step: auto` considers; a GPU that is busy gains nothing from more."""
GOOD_ENOUGH = 0.95
"""`auto` takes the fewest rows a step that reach this share of the best throughput."""
ENOUGH_STEPS = 100
"""`auto` leaves a run at least this many optimizer steps, where it has as many at 8 rows a step."""
RECORDED_TOKENS = 8192
"""Passes of more tokens keep the GPU busy without CUDA graphs."""
KEPT_SHARE = 0.9
"""Share of the memory that is left which layers kept from recomputation may fill."""
TIE = 1.03
"""Within this factor of the fastest, the layout that needs less memory is taken."""

_DRAWN_ROWS = 40_000
_MEGABATCH = 50


@dataclass(frozen=True)
class Candidate:
    """One layout, predicted."""

    precision: Precision
    checkpointing: Checkpointing
    rows_per_step: int
    micro_batch: int
    """Rows of one forward pass."""
    memory: Memory
    step_s: float
    steps: int
    useful_tokens_per_s: float
    """Padding left out."""
    usable_gb: float
    """Memory of the GPU that a plan may fill."""
    recorded: bool = False
    """Whether steps are recorded as CUDA graphs."""
    kept_layers: int = 0
    """Layers that keep their activations although the others recompute them."""
    turned_copy: bool = False
    """Whether weights in FP8 are held a second time for the backward pass."""

    @property
    def fits(self) -> bool:
        """Whether it trains on this GPU."""
        return self.memory.needed_gb <= self.usable_gb

    @property
    def peak_gb(self) -> float:
        """Predicted peak of the allocator; it cannot reserve more than there is."""
        reserved = self.memory.reserved_gb
        return min(reserved, max(self.usable_gb, self.memory.needed_gb)) if self.fits else self.memory.needed_gb

    @property
    def hours(self) -> float:
        """Predicted time of all optimizer steps; evaluations and checkpoints not counted."""
        return self.steps * self.step_s / 3600

    @property
    def why_not(self) -> str:
        """Why it does not fit."""
        return f"needs {self.memory.needed_gb:.1f} of {self.usable_gb:.1f} GB" if not self.fits else ""


def candidates(
    train: TrainConfig,
    lora: LoraConfig,
    shape: ModelShape,
    lengths: Sequence[int],
    gpu: Device,
    precisions: Sequence[Precision],
    rows_per_step: int,
) -> list[Candidate]:
    """Every combination of precision, checkpointing and micro-batch for that many rows a step.

    Args:
        train: the recipe's section; `padding_free`, `epochs`, `max_steps`, `method` and `optimizer` count.
        lora: the adapter.
        shape: the model.
        lengths: tokens of every training row.
        gpu: what trains.
        precisions: how the base may be held.
        rows_per_step: rows of one optimizer step.
    """
    rows_per_step = min(rows_per_step, len(lengths))
    found = []
    for micro_batch in divisors(rows_per_step):
        count = rows_per_step // micro_batch
        batches = draw(lengths, micro_batch, count, padding_free=train.padding_free)
        steps = optimizer_steps(len(lengths), micro_batch, count, train)
        useful = rows_per_step * sum(lengths) / len(lengths)
        for precision in precisions:
            for checkpointing in _CHECKPOINTING:
                setup = setup_for(train, lora, shape, precision, checkpointing)
                laid = batches
                if gpu.bf16 and not why_not_recorded(train, lora, precision, checkpointing, useful / count):
                    setup, laid = replace(setup, recorded=True), filled(batches, steps)
                held = [
                    replace(setup, turned_copy=twice) for twice in ((False, True) if precision == "8bit" else (False,))
                ]
                for each in [s for one in held for s in (one, *keeping(one, laid, gpu))]:
                    memory, step_s = estimate_memory(each, laid, gpu), estimate_time(each, laid, gpu).step_s
                    found.append(
                        Candidate(
                            precision, checkpointing, rows_per_step, micro_batch, memory, step_s, steps,
                            useful / step_s, usable_gb(gpu), each.recorded, each.kept_layers, each.turned_copy,
                        )
                    )  # fmt: skip
    return found


def keeping(setup: Setup, batches: Batches, gpu: Device) -> list[Setup]:
    """The same with as many layers kept from recomputation as the memory that is left holds; none where none fits."""
    if setup.checkpointing == "off" or setup.full:
        return []
    left_gb = KEPT_SHARE * (usable_gb(gpu) - estimate_memory(setup, batches, gpu).needed_gb)
    layer_gb = batches.longest_tokens * setup.shape.activation_bytes() / 1e9
    layers = min(int(left_gb / layer_gb), setup.shape.layers - 1)
    return [replace(setup, kept_layers=layers)] if layers > 0 else []


def filled(batches: Batches, steps: int) -> Batches:
    """The same when recorded: every micro-batch filled up to one of the sizes that a run of so many steps records."""
    tokens, counts = np.unique(batches.drawn[: steps * batches.count], return_counts=True)
    passes = {PassSize(each, each): count for each, count in zip(tokens.tolist(), counts.tolist(), strict=True)}
    sizes = choose_sizes(passes, live_cost=math.inf)
    spent = sum(count * size.tokens for each, count in passes.items() if (size := size_for(each, sizes)))
    return replace(batches, filled_tokens=spent / sum(passes.values()), longest_tokens=sizes[-1].tokens)


def choose(
    train: TrainConfig, lora: LoraConfig, shape: ModelShape, lengths: Sequence[int], gpu: Device
) -> tuple[Candidate, str]:
    """The layout that `plan: auto` takes in the recipe's precision, and why; what needs least where nothing fits.

    With a number of rows a step: the fastest layout of exactly those rows. With `rows_per_step: auto`: the fewest rows
    a step that reach 95 % of the best throughput, and no more than leave the run 100 optimizer steps.
    """
    wanted = [train.rows_per_step] if train.rows_per_step != "auto" else _auto_rows(len(lengths))
    every = {n: candidates(train, lora, shape, lengths, gpu, [train.precision], n) for n in wanted}
    each = [best for among in every.values() if (best := fastest(among)) is not None]
    if not each:
        smallest = min((c for among in every.values() for c in among), key=lambda c: c.memory.needed_gb)
        return smallest, f"nothing is predicted to fit ({smallest.why_not}); this needs the least"
    long_enough = [c for c in each if c.steps >= ENOUGH_STEPS] or each[:1]
    top = max(c.useful_tokens_per_s for c in long_enough)
    best = next(c for c in long_enough if c.useful_tokens_per_s >= GOOD_ENOUGH * top)
    why = (
        f"predicted {best.useful_tokens_per_s:,.0f} tokens/s at {best.peak_gb:.1f} GB, the fastest of what fits "
        f"{best.usable_gb:.1f} GB"
    )
    return best, why


def fastest(among: Sequence[Candidate]) -> Candidate | None:
    """The fastest that fits; of those about as fast, the one that needs least memory."""
    fitting = [c for c in among if c.fits]
    if not fitting:
        return None
    limit = TIE * min(c.step_s for c in fitting)
    return min((c for c in fitting if c.step_s <= limit), key=lambda c: c.memory.needed_gb)


def why_not_recorded(
    train: TrainConfig, lora: LoraConfig, precision: Precision, checkpointing: Checkpointing, tokens: float
) -> str:
    """Why passes of this layout are not recorded as CUDA graphs; empty where they can be.

    Args:
        train: the recipe's section.
        lora: the adapter.
        precision: how the base is held.
        checkpointing: whether activations are recomputed.
        tokens: mean tokens of a pass, padding left out.
    """
    if train.cuda_graphs == "off":
        return "train.cuda_graphs"
    if train.method == "full":
        return "only an adapter is recorded"
    if lora.dropout or lora.dora or lora.modules_to_save or lora.bias != "none" or train.neftune_noise_alpha:
        return "only plain LoRA is recorded: no dropout, DoRA, bias, whole modules or NEFTune"
    if not train.padding_free:
        return "rows are padded, to another shape in every pass"
    if checkpointing != "off":
        return "passes that recompute activations are not recorded"
    if tokens > RECORDED_TOKENS:
        return f"{tokens:.0f} tokens a pass keep the GPU busy"
    return ""


def setup_for(
    train: TrainConfig, lora: LoraConfig, shape: ModelShape, precision: Precision, checkpointing: Checkpointing
) -> Setup:
    """What the recipe trains, in this precision and with this checkpointing."""
    whole = shape.vocabulary * shape.hidden * len({"lm_head", "embed_tokens"} & set(lora.modules_to_save))
    return Setup(
        shape,
        "16bit" if train.method == "full" else precision,
        checkpointing,
        rank=lora.r,
        modules=lora.target_modules,
        saved_modules=whole,
        full=train.method == "full",
        optimizer=choose_optimizer(train, "cuda")[0],
    )


def draw(lengths: Sequence[int], micro_batch: int, count: int, *, padding_free: bool, seed: int = 0) -> Batches:
    """The micro-batches of shuffled epochs, drawn; the largest of them sets the peak.

    Args:
        lengths: tokens of every row.
        micro_batch: rows of one forward pass.
        count: forward passes of an optimizer step.
        padding_free: rows end to end; else padded to the longest, rows of like length together as transformers'
            `group_by_length` does (sorted within 50 micro-batches).
        seed: of the shuffles.
    """
    rows = np.asarray(lengths, dtype=np.int64)
    generator = np.random.default_rng(seed)
    micro_batch = min(micro_batch, len(rows))
    parts = []
    for _ in range(max(1, math.ceil(_DRAWN_ROWS / len(rows)))):
        order = rows[generator.permutation(len(rows))]
        if not padding_free and micro_batch > 1:
            size = _MEGABATCH * micro_batch
            order = np.concatenate([np.sort(order[i : i + size])[::-1] for i in range(0, len(order), size)])
        parts.append(order[: len(order) // micro_batch * micro_batch].reshape(-1, micro_batch))
    batches = np.concatenate(parts)
    if padding_free:
        tokens, pairs = batches.sum(1), (batches**2).sum(1) / 2
    else:
        longest = batches.max(1)
        tokens, pairs = micro_batch * longest, micro_batch * longest**2 / 2
    varying = bool(tokens.min() < tokens.max())
    return Batches(
        count, float(tokens.mean()), int(tokens.max()), float(pairs.mean()), varying, drawn=tuple(tokens.tolist())
    )


def optimizer_steps(rows: int, micro_batch: int, count: int, train: TrainConfig) -> int:
    """Optimizer steps of the run, as transformers counts them."""
    if train.max_steps:
        return train.max_steps
    return max(1, math.ceil(train.epochs * max(1, math.ceil(math.ceil(rows / micro_batch) / count))))


def divisors(number: int) -> Iterator[int]:
    """1 to the number, those that divide it."""
    return (n for n in range(1, number + 1) if number % n == 0)


def _auto_rows(rows: int) -> list[int]:
    return [n for n in AUTO_ROWS if n <= rows] or [rows]


_CHECKPOINTING: tuple[Checkpointing, ...] = ("off", "unsloth", "on")

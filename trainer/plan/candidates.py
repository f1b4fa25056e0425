"""Every layout of training that could be taken on a GPU, with predicted memory and time, and the one to take. No torch.

The micro-batches are not guessed from mean and maximum: the shuffled epochs are drawn from the true row lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from configs.machine.gpus import Device
from configs.model.shape import ModelShape
from configs.recipe.schema import LoraConfig, TrainConfig
from trainer.gpus.dealing import deal
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
from trainer.plan.sizes import RECORDING_COST, PassSize, choose_sizes, size_for

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
_DEALT_ROWS = 2_000
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
    gpus: int = 1
    """GPUs that share the rows of a step; memory and usable memory are each one's."""

    @property
    def passes(self) -> int:
        """Forward passes of an optimizer step on each GPU."""
        return math.ceil(math.ceil(self.rows_per_step / self.gpus) / self.micro_batch)

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
    gpus: int = 1,
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
        gpus: how many such GPUs share them.
    """
    rows_per_step = min(rows_per_step, len(lengths))
    found = []
    share = math.ceil(rows_per_step / gpus)
    steps = optimizer_steps(len(lengths), rows_per_step, train)
    for micro_batch in divisors(share):
        count = share // micro_batch
        if gpus == 1:
            batches = draw(lengths, micro_batch, count, padding_free=train.padding_free)
        else:
            batches = draw_dealt(lengths, micro_batch, count, rows_per_step, gpus, padding_free=train.padding_free)
        useful = rows_per_step * sum(lengths) / len(lengths)
        tokens = useful / count / gpus
        recorded = [c for c in _CHECKPOINTING if gpu.bf16 and not why_not_recorded(train, lora, c, tokens)]
        filled_up = filled(batches, steps) if recorded else batches
        for precision in precisions:
            for checkpointing in _CHECKPOINTING:
                setup = replace(
                    setup_for(train, lora, shape, precision, checkpointing), recorded=checkpointing in recorded
                )
                laid = filled_up if setup.recorded else batches
                held = [
                    replace(setup, turned_copy=twice) for twice in ((False, True) if precision == "8bit" else (False,))
                ]
                for each in [s for one in held for s in (one, *keeping(one, laid, gpu))]:
                    memory, step_s = estimate_memory(each, laid, gpu), estimate_time(each, laid, gpu).step_s
                    found.append(
                        Candidate(
                            precision, checkpointing, rows_per_step, micro_batch, memory, step_s, steps,
                            useful / step_s, usable_gb(gpu), each.recorded, each.kept_layers, each.turned_copy, gpus,
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
    drawn = batches.drawn[: steps * batches.count * batches.gpus]
    tokens, counts = np.unique([each for each in drawn if each], return_counts=True)
    passes = {PassSize(each, each): count for each, count in zip(tokens.tolist(), counts.tolist(), strict=True)}
    sizes = choose_sizes(passes, RECORDING_COST * batches.gpus, live_cost=math.inf)
    filled = {0.0: 0} | {each.tokens: size.tokens for each in passes if (size := size_for(each, sizes))}
    mean = slowest_mean([filled[each] for each in drawn], batches.gpus, batches.count)
    return replace(batches, filled_tokens=mean, longest_tokens=sizes[-1].tokens)


def choose(
    train: TrainConfig, lora: LoraConfig, shape: ModelShape, lengths: Sequence[int], gpu: Device, gpus: int = 1
) -> tuple[Candidate, str]:
    """The layout that `plan: auto` takes in the recipe's precision, and why; what needs least where nothing fits.

    With a number of rows a step: the fastest layout of exactly those rows. With `rows_per_step: auto`: the fewest rows
    a step that reach 95 % of the best throughput, and no more than leave the run 100 optimizer steps.
    """
    wanted = [train.rows_per_step] if train.rows_per_step != "auto" else _auto_rows(len(lengths), gpus)
    every = {n: candidates(train, lora, shape, lengths, gpu, [train.precision], n, gpus) for n in wanted}
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


def why_not_recorded(train: TrainConfig, lora: LoraConfig, checkpointing: Checkpointing, tokens: float) -> str:
    """Why passes of this layout are not recorded as CUDA graphs; empty where they can be.

    Args:
        train: the recipe's section.
        lora: the adapter.
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
        modules=lora.named_modules,
        saved_modules=whole,
        full=train.method == "full",
        optimizer=choose_optimizer(train, "cuda")[0],
    )


def draw_dealt(
    lengths: Sequence[int], micro_batch: int, count: int, rows_per_step: int, gpus: int, *, padding_free: bool
) -> Batches:
    """The micro-batches of shuffled epochs on several GPUs, as the rows of every step are dealt out to them.

    `tokens` and `pairs` are those of the GPU that has the most to do in its step, which the others wait for.
    """
    every, generator = np.asarray(lengths), np.random.default_rng(0)
    steps = max(1, _DEALT_ROWS // rows_per_step)
    costs, squares = [], []
    for _ in range(steps):
        rows = [int(n) for n in generator.choice(every, rows_per_step, replace=False)]
        for passes in deal(rows, gpus, count, micro_batch, padded=not padding_free):
            for each in passes:
                found = [rows[i] for i in each] or [0]
                laid = found if padding_free else [max(found)] * len(found)
                costs.append(sum(laid))
                squares.append(sum(n * n for n in laid) / 2)
    varying = min(costs) < max(costs)
    return Batches(
        count, slowest_mean(costs, gpus, count), max(costs), slowest_mean(squares, gpus, count), varying,
        drawn=tuple(costs), gpus=gpus,
    )  # fmt: skip


def slowest_mean(costs: Sequence[float], gpus: int, count: int) -> float:
    """Mean cost of a pass on the GPU that has the most to do in its step.

    Args:
        costs: of every pass; of each step those of the first GPU come first, then those of the next.
        gpus: GPUs that share a step.
        count: passes of a step on each.
    """
    whole = len(costs) // (gpus * count) * gpus * count
    if not whole:
        return float(np.mean(costs))
    return float(np.asarray(costs[:whole], dtype=float).reshape(-1, gpus, count).sum(2).max(1).mean() / count)


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


def optimizer_steps(rows: int, rows_per_step: int, train: TrainConfig) -> int:
    """Optimizer steps of the run, as transformers counts them."""
    if train.max_steps:
        return train.max_steps
    return max(1, math.ceil(train.epochs * max(1, math.ceil(rows / rows_per_step))))


def divisors(number: int) -> Iterator[int]:
    """1 to the number, those that divide it."""
    return (n for n in range(1, number + 1) if number % n == 0)


def _auto_rows(rows: int, gpus: int) -> list[int]:
    # Each GPU gets its part of them.
    wanted = [*AUTO_ROWS, *(AUTO_ROWS[-1] * 2**n for n in range(1, gpus.bit_length()))]
    return [n for n in wanted if n <= rows] or [rows]


_CHECKPOINTING: tuple[Checkpointing, ...] = ("off", "unsloth", "on")

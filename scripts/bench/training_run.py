"""Measuring training steps in a process of their own: for `train` and `calibrate`.

Import `unsloth` before this module where it is to take part: it patches what is imported here.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from configs.errors import first_line

PROFILED_STEPS = 3
_TABLE_ROWS = 40


@dataclass
class BatchCounter:
    """Stands before a collator and notes the size of every micro-batch that it gives."""

    collate: Any
    tokens: list[int] = field(default_factory=list)
    """Padding included."""
    useful: list[int] = field(default_factory=list)
    pairs: list[float] = field(default_factory=list)
    """(query, key) pairs of attention: half the sum of squared lengths."""
    kinds: set[str] = field(default_factory=set)
    """`padded`, `end to end`: what the batches were."""

    def __call__(self, features: list[Any]) -> dict[str, Any]:
        batch = self.collate(features)
        lengths, padded_to = row_lengths(batch)
        self.tokens.append(int(batch["input_ids"].numel()))
        self.useful.append(int(sum(lengths)))
        self.pairs.append(float(sum((padded_to or n) ** 2 for n in lengths) / 2))
        self.kinds.add("padded" if padded_to else "end to end")
        return batch


def row_lengths(batch: Mapping[str, Any]) -> tuple[list[int], int | None]:
    """Lengths of the rows in a collated batch, and the length that they are padded to; None when laid end to end."""
    shape = batch["input_ids"].shape
    if (packed := batch.get("packed_seq_lengths")) is not None:
        return [int(n) for n in packed], None
    if (mask := batch.get("attention_mask")) is not None:
        return [int(n) for n in mask.sum(-1)], int(shape[-1])
    if (positions := batch.get("position_ids")) is not None and shape[0] == 1:
        starts = np.append(np.flatnonzero(np.asarray(positions[0]) == 0), shape[-1])
        return np.diff(starts).tolist(), None
    return [int(shape[-1])] * int(shape[0]), int(shape[-1])


class StepClock(TrainerCallback):
    """Wall clock of the steps after the warm-up; waits for the GPU at both ends of the measured stretch only."""

    def __init__(self, warmup: int, profile: Path | None = None) -> None:
        self.warmup, self.profile = warmup, profile
        self.ends: list[float] = []
        self.started = time.perf_counter()
        self._profiler: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        step = state.global_step
        if step in (self.warmup, state.max_steps):
            synchronize()
        self.ends.append(time.perf_counter())
        if self.profile and step == self.warmup:
            self._profiler = torch.profiler.profile()
            self._profiler.start()
            self._profiled_from = time.perf_counter()
        if self._profiler and step == self.warmup + PROFILED_STEPS:
            synchronize()
            wall_s = (time.perf_counter() - self._profiled_from) / PROFILED_STEPS
            self._profiler.stop()
            assert self.profile is not None
            self.profile.write_text(profile_text(self._profiler, wall_s), encoding="utf-8")
            self._profiler = None

    @property
    def first_step_s(self) -> float:
        """The first step, compilation included."""
        return self.ends[0] - self.started

    def seconds(self) -> list[float]:
        """Seconds of every measured step."""
        return np.diff(self.ends[self.warmup - 1 :]).tolist()


def profile_text(profiler: Any, wall_s: float) -> str:
    """Where a step goes: device and host time, launches and waits, then the tables by device and by host time."""
    averages = profiler.key_averages()
    device_s = sum(e.self_device_time_total for e in averages if str(e.device_type).endswith("CUDA")) / 1e6

    def count(name: str) -> str:
        events = [e for e in averages if e.key.startswith(name)]
        total = sum(e.count for e in events) / PROFILED_STEPS
        spent = sum(e.self_cpu_time_total for e in events) / 1e6 / PROFILED_STEPS
        return f"{name}: {total:.0f} a step, {spent:.4f} s"

    lines = [
        f"wall {wall_s:.4f} s a step (profiler on), device busy {device_s / PROFILED_STEPS:.4f} s",
        *map(
            count, ("cudaLaunchKernel", "cuLaunchKernel", "cudaMemcpyAsync", "cudaStreamSynchronize", "cudaDeviceSync")
        ),
        *map(count, ("aten::item", "Optimizer.step", "DataLoader")),
    ]
    for key in ("self_device_time_total", "self_cpu_time_total"):
        lines.append(averages.table(sort_by=key, row_limit=_TABLE_ROWS, max_name_column_width=70))
    return "\n".join(lines)


def measure(trainer: Any, *, warmup: int, micro_batches: int, profile: Path | None = None) -> dict[str, Any]:
    """Trains, and returns what the steps after the warm-up took.

    Args:
        trainer: a trainer whose `max_steps` is set.
        warmup: optimizer steps that are left out; at least 1.
        micro_batches: forward passes of an optimizer step.
        profile: file for the profiler's tables of three steps, which then count in no figure.
    """
    counter = BatchCounter(trainer.data_collator)
    trainer.data_collator = counter
    clock = StepClock(warmup, profile)
    trainer.add_callback(clock)
    release()
    trainer.train()
    steps = clock.seconds()
    tokens = counter.tokens[warmup * micro_batches :][: len(steps) * micro_batches]
    useful = counter.useful[warmup * micro_batches :][: len(steps) * micro_batches]
    pairs = counter.pairs[warmup * micro_batches :][: len(steps) * micro_batches]
    total = sum(steps)
    return {
        "steps": len(steps),
        "step_s": round(total / len(steps), 5),
        "step_median_s": round(float(np.median(steps)), 5),
        "first_step_s": round(clock.first_step_s, 2),
        "useful_tokens_per_s": round(sum(useful) / total, 1),
        "count": micro_batches,
        "tokens": round(float(np.mean(tokens)), 1),
        "useful": round(float(np.mean(useful)), 1),
        "longest_tokens": max(counter.tokens),
        "pairs": round(float(np.mean(pairs)), 1),
        "varying": len(set(counter.tokens)) > 1,
        "batches": " and ".join(sorted(counter.kinds)),
        "reserved_gb": round(torch.cuda.max_memory_reserved() / 1e9, 3) if torch.cuda.is_available() else None,
        "allocated_gb": round(torch.cuda.max_memory_allocated() / 1e9, 3) if torch.cuda.is_available() else None,
    }


def synchronize() -> None:
    """Waits for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def share_base(longest: int) -> None:
    """Has the trainers of this process that recompute alike share one base and one adapter, loaded by the first.

    Args:
        longest: tokens of the longest row of them all.
    """
    import trainer.sft.loop as loop

    load = loop.load
    loaded: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def load_once(config: Any, folder: Path, _: int, plan: Any) -> tuple[Any, Any]:
        alike = (plan.checkpointing, plan.kept_layers, plan.turned_copy)
        if alike not in loaded:
            loaded.clear()
            release()
            loaded[alike] = load(config, folder, longest, plan)
        return loaded[alike]

    loop.load = load_once  # type: ignore[assignment]


def release() -> None:
    """Gives the allocator's free blocks back and starts its peaks anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def ceiling_tflops() -> float:
    """bf16 products of 8192 x 8192 matrices in TFLOP/s on the GPU; fp32 ones of 1024 x 1024 on a CPU."""
    on_gpu = torch.cuda.is_available()
    size, repeats = (8192, 20) if on_gpu else (1024, 5)
    kind = {"device": "cuda", "dtype": torch.bfloat16} if on_gpu else {}
    a, b = (torch.randn(size, size, **kind) for _ in range(2))
    for _ in range(3):
        a @ b
    synchronize()
    started = time.perf_counter()
    for _ in range(repeats):
        a @ b
    synchronize()
    return 2 * size**3 * repeats / (time.perf_counter() - started) / 1e12


@contextlib.contextmanager
def out_of_memory_as_result(row: dict[str, Any]) -> Iterator[None]:
    """Running out of GPU memory is a finding; it goes into the row."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        row["error"] = "out of memory: " + first_line(error)

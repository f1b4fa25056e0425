"""When the GPU's memory runs out: half the rows a forward pass, once, and on from the last checkpoint."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from configs.errors import TuneserveError
from configs.handover.training import Plan
from configs.terminal.console import note
from trainer.plan.candidates import divisors

LESS = (
    "set train.precision=4bit, a lower data.max_length, or train.gradient_checkpointing=unsloth with train.plan=manual "
    "and train.micro_batch=1; or take a GPU with more memory"
)

Came = TypeVar("Came")

Attempt = Callable[[Plan, Path | None], Came]
"""Trains under a plan, from a checkpoint or from the start; returns what came of it."""


def train_with_back_off(
    attempt: Attempt[Came], plan: Plan, checkpoint: Path | None, last_checkpoint: Callable[[], Path | None]
) -> tuple[Came, Plan]:
    """Trains; when memory runs out, trains on under a plan that needs less, once.

    Args:
        attempt: what trains.
        plan: what to try first.
        checkpoint: where to begin; None is the start.
        last_checkpoint: finds where to go on from after a failure; None is the start.

    Returns:
        What came of it, and the plan that it was reached under.

    Raises:
        TuneserveError: memory ran out twice, or with one row a forward pass.
    """
    why = ""
    try:
        return attempt(plan, checkpoint), plan
    except torch.OutOfMemoryError as error:
        why = _first_sentence(error)
    # Behind the handler: the error's traceback held the model.
    gc.collect()
    torch.cuda.empty_cache()
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    smaller = halved(plan)
    if smaller is None:
        raise TuneserveError(f"the GPU ran out of memory with one row a forward pass ({why})", LESS)
    checkpoint = last_checkpoint()
    note(
        f"memory ran out ({why}): {smaller.micro_batch} x {smaller.accumulation} rows instead of {plan.micro_batch} x "
        f"{plan.accumulation}, the same optimizer step, from {checkpoint.name if checkpoint else 'the start'}"
    )
    try:
        return attempt(smaller, checkpoint), smaller
    except torch.OutOfMemoryError as error:
        raise TuneserveError(
            f"the GPU ran out of memory twice, at {plan.micro_batch} and at {smaller.micro_batch} rows a forward pass "
            f"({_first_sentence(error)})",
            LESS,
        ) from None


def halved(plan: Plan) -> Plan | None:
    """The same optimizer step in forward passes of half the rows (or fewer, to divide the step); None at one row."""
    if plan.micro_batch == 1:
        return None
    share = math.ceil(plan.rows_per_step / plan.gpus)
    micro_batch = max(n for n in divisors(share) if n <= plan.micro_batch // 2)
    why = f"memory ran out with {plan.micro_batch} rows; before that: {plan.reasons['micro_batch']}"
    return plan.model_copy(
        update={
            "micro_batch": micro_batch,
            "accumulation": share // micro_batch,
            "kept_layers": 0,
            "turned_copy": False,
            "reasons": plan.reasons | {"micro_batch": why},
        }
    )


def _first_sentence(error: Exception) -> str:
    return str(error).partition(". ")[0].splitlines()[0] if str(error) else "no message"

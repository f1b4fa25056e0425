"""Whether a finished training learned anything, told from its own losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

ENOUGH = 20
"""Optimizer steps below which a loss says nothing about the rate."""
HARDLY = 0.05
"""Share that a loss must fall by, where there was something left to learn."""
KNOWN = 0.5
"""Loss in nats a token (perplexity 1.6) below which little was left to learn."""
GUESSING = 4.0
"""Loss in nats a token (perplexity 55) at which a language model does not know the language that it is shown."""


def loss_warning(log: Sequence[Mapping[str, Any]], *, soft: bool = False) -> str | None:
    """What to say about the losses of a run; None where they fell, or are too few to tell.

    Args:
        log: the lines of `train.jsonl`; those with `loss` (nats a trained token) count.
        soft: whether rows were trained by the base's own probabilities, whose loss is as low as can be from the start.
    """
    losses = [float(line["loss"]) for line in log if "loss" in line]
    if len(losses) < ENOUGH:
        return None
    part = max(5, len(losses) // 10)
    first, last = fmean(losses[:part]), fmean(losses[-part:])
    seen = f"the training loss went from {first:.2f} to {last:.2f}"
    if not math.isfinite(last):
        return f"{seen}: training diverged. Divide train.learning_rate by ten"
    if last > 1.1 * first:
        return f"{seen}: it rose, which is a rate that is too high. Divide train.learning_rate by three to ten"
    if last > GUESSING:
        return (
            f"{seen}, and a model that knows the language starts below {GUESSING:g}: it still guesses. Is `model` the "
            "one that these rows are for, and the text in them readable? If so, multiply train.learning_rate by three "
            "to ten"
        )
    if not soft and first > KNOWN and last > (1 - HARDLY) * first:
        return (
            f"{seen}: it hardly fell. Multiply train.learning_rate by three to ten, or train.epochs, unless the rows "
            "hold nothing new for this model"
        )
    return None

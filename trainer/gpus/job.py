"""What every process of a training is given, and what rank 0 hands back."""

from __future__ import annotations

from pathlib import Path

from configs.handover.base import HandedOver
from configs.handover.training import LoopFigures, Plan, UnslothFacts


class Job(HandedOver):
    """One training, or the rest of one."""

    plan: Plan
    """The layout, of all processes."""
    checkpoint: Path | None
    """Where to begin; None is the start."""


class Outcome(HandedOver):
    """What came of it."""

    figures: LoopFigures
    """What was measured."""
    unsloth: UnslothFacts
    """What Unsloth did."""


class Failure(HandedOver):
    """Why one process ended."""

    rank: int
    """Its number."""
    message: str
    """What was wrong."""
    next_step: str
    """What to do now."""
    exit_code: int
    """What the command ends with."""
    of_another: bool = False
    """Whether it failed because another process was gone."""

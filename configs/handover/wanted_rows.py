"""How many rows a base is to write itself, and in which languages: the data say it, and the base's server is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class WantedRows:
    """What is to be made."""

    train: int
    """Rows to train."""
    unseen: int
    """Further rows to measure on, kept out of training."""
    languages: Mapping[str, float]
    """Languages of the user's rows, with their shares."""
    other_languages: float
    """Share of the rows in other languages."""
    min_usable: float
    """Least share of the questions that are asked which must have a usable answer."""
    seed: int
    """Of the run."""
    soft_targets: bool = False
    """Whether the most likely tokens are read at each place of the rows to train."""
    conversations: int = 0
    """Conversations of the user's that are trained, repetitions counted: what `train` is a share of."""

    @property
    def rows(self) -> int:
        """All rows."""
        return self.train + self.unseen

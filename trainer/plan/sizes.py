"""Which sizes of recorded steps a run makes, chosen before it trains: few, so that they pay, and the rest filled up.

A recorded step is fixed in shape. The sampler is seeded, so that the tokens of every step are known beforehand, and the
sizes that make the whole run cheapest can be computed. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GRAIN = 128
"""Sizes are multiples of so many tokens, the rows of a tile of a matrix product."""
RECORDING_COST = 8.0
"""What recording a size costs, in steps of that size: a warm-up and a capture, each as slow as a step that is not
recorded."""
LIVE_COST = 3.0
"""What a step that is not recorded costs, in recorded steps of its size."""


@dataclass(frozen=True, order=True)
class StepSize:
    """The shape of a step: of one that comes, or of a recording that such steps fit into."""

    tokens: int
    """Tokens of all rows together."""
    trained: int
    """Those of them that are trained, which go through the output layer."""

    def holds(self, step: StepSize) -> bool:
        """Whether a recording of this size takes such a step, with one token at least that fills up."""
        return step.tokens < self.tokens and step.trained <= self.trained


def choose_sizes(
    steps: Sequence[StepSize], recording_cost: float = RECORDING_COST, live_cost: float = LIVE_COST
) -> tuple[StepSize, ...]:
    """The recordings to make, the smallest first; every step fits into one of them. None where recording does not pay.

    Each step costs the tokens of its recording, and each recording `recording_cost` times its tokens; the sum is made
    as small as it can be, by dynamic programming over the sizes that occur.

    Args:
        steps: every optimizer step of the run.
        recording_cost: cost of a recording, in steps of its size.
        live_cost: cost of a step that is not recorded, in recorded ones.

    Example:
        >>> [size.tokens for size in choose_sizes([StepSize(100, 60)] * 500 + [StepSize(300, 90)] * 500)]
        [128, 384]
    """
    groups: dict[int, list[StepSize]] = {}
    for step in steps:
        groups.setdefault(_filled_up(step.tokens + 1), []).append(step)
    counts = sorted((tokens, len(group), max(s.trained for s in group)) for tokens, group in groups.items())
    best: list[tuple[float, tuple[StepSize, ...]]] = [(0.0, ())]
    for end, (tokens, _, _) in enumerate(counts, start=1):
        found: tuple[float, tuple[StepSize, ...]] = (float("inf"), ())
        count = trained = 0
        for start in range(end - 1, -1, -1):
            count, trained = count + counts[start][1], max(trained, counts[start][2])
            cost, sizes = best[start]
            size = StepSize(tokens, min(tokens, _filled_up(trained)))
            found = min(found, (cost + tokens * (count + recording_cost), (*sizes, size)))
        best.append(found)
    cost, sizes = best[-1]
    return sizes if cost < live_cost * sum(step.tokens for step in steps) else ()


def size_for(step: StepSize, sizes: Sequence[StepSize]) -> StepSize | None:
    """The smallest of these ascending sizes that takes such a step; None where none does."""
    return next((size for size in sizes if size.holds(step)), None)


def _filled_up(tokens: int) -> int:
    return -(-tokens // GRAIN) * GRAIN

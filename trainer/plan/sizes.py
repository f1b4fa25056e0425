"""Which sizes of recorded passes a run makes, chosen before it trains: few, so that they pay, and the rest filled up.

A recorded forward and backward pass is fixed in shape. The sampler is seeded, so that the tokens of every pass are
known beforehand, and the sizes that make the whole run cheapest can be computed. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GRAIN = 128
"""Sizes are multiples of so many tokens, the rows of a tile of a matrix product."""
RECORDING_COST = 8.0
"""What recording a size costs, in passes of that size: a warm-up and a capture, each as slow as a pass that is not
recorded."""
LIVE_COST = 3.0
"""What a pass that is not recorded costs, in recorded ones of its size."""


@dataclass(frozen=True, order=True)
class PassSize:
    """The shape of a pass: of one that comes, or of a recording that such passes fit into."""

    tokens: int
    """Tokens of all rows together."""
    trained: int
    """Those of them that are trained, which go through the output layer."""

    def holds(self, other: PassSize) -> bool:
        """Whether a recording of this size takes such a pass."""
        return other.tokens <= self.tokens and other.trained <= self.trained


def choose_sizes(
    passes: Mapping[PassSize, int], recording_cost: float = RECORDING_COST, live_cost: float = LIVE_COST
) -> tuple[PassSize, ...]:
    """The recordings to make, the smallest first; every pass fits into one of them, and each into the largest.

    None where recording does not pay.

    Each pass costs the tokens of its recording, and each recording `recording_cost` times its tokens; the sum is made
    as small as it can be, by dynamic programming over the sizes that occur.

    Args:
        passes: the forward passes of the run, and how many there are of each.
        recording_cost: cost of a recording, in passes of its size.
        live_cost: cost of a pass that is not recorded, in recorded ones.

    Example:
        >>> [size.tokens for size in choose_sizes({PassSize(100, 60): 500, PassSize(300, 90): 500})]
        [128, 384]
    """
    groups: dict[int, tuple[int, int]] = {}
    for each, number in passes.items():
        count, trained = groups.get(filled := _filled_up(each.tokens), (0, 0))
        groups[filled] = (count + number, max(trained, each.trained))
    counts = sorted((tokens, *group) for tokens, group in groups.items())
    best: list[tuple[float, tuple[PassSize, ...]]] = [(0.0, ())]
    for end, (tokens, _, _) in enumerate(counts, start=1):
        found: tuple[float, tuple[PassSize, ...]] = (float("inf"), ())
        count = trained = 0
        for start in range(end - 1, -1, -1):
            count, trained = count + counts[start][1], max(trained, counts[start][2])
            cost, sizes = best[start]
            size = PassSize(tokens, min(tokens, _filled_up(trained)))
            found = min(found, (cost + tokens * (count + recording_cost), (*sizes, size)))
        best.append(found)
    cost, sizes = best[-1]
    if cost >= live_cost * sum(each.tokens * number for each, number in passes.items()):
        return ()
    # The largest is recorded with the first pass, whichever that is.
    largest = PassSize(sizes[-1].tokens, max(size.trained for size in sizes))
    return (*sizes[:-1], largest)


def size_for(each: PassSize, sizes: Sequence[PassSize]) -> PassSize | None:
    """The smallest of these ascending sizes that takes such a pass; None where none does."""
    return next((size for size in sizes if size.holds(each)), None)


def _filled_up(tokens: int) -> int:
    return -(-tokens // GRAIN) * GRAIN

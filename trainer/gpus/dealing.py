"""Who trains which rows: the rows of every optimizer step, dealt out to several processes so that none waits for long.

The rows of a step are those that one process would take: the order of the rows does not depend on how many there are.
A process that has fewer rows than the others gets empty passes; no row is taken twice and none is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

Passes = list[list[int]]
"""The rows of every forward pass of one process in one optimizer step; an empty list is a pass without rows."""


def deal(lengths: Sequence[int], ranks: int, passes: int, micro_batch: int, *, padded: bool) -> list[Passes]:
    """Deals the rows of one optimizer step out.

    Args:
        lengths: tokens of each row.
        ranks: processes.
        passes: forward passes of each.
        micro_batch: rows of a pass at most.
        padded: whether a pass costs its longest row for every row; else the tokens of its rows.

    Returns:
        For each rank its passes, with the places of the rows in `lengths`; empty passes come last.

    Raises:
        ValueError: there are more rows than the passes have room for.

    Example:
        >>> deal([50, 10, 30, 20], ranks=2, passes=1, micro_batch=2, padded=False)
        [[[0, 1]], [[2, 3]]]
    """
    if len(lengths) > ranks * passes * micro_batch:
        raise ValueError(f"{len(lengths)} rows do not fit into {ranks} x {passes} x {micro_batch}")
    longest_first = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    if padded:
        # Rows of like length together, and the costly passes to different ranks.
        bins = [longest_first[i : i + micro_batch] for i in range(0, len(longest_first), micro_batch)]
        costs = [len(rows) * lengths[rows[0]] for rows in bins]
        placed = _balanced(costs, ranks, passes)
        dealt = [[bins[i] for i in sorted(chosen)] for chosen in placed]
    else:
        shares = _balanced(lengths, ranks, passes * micro_batch)
        dealt = [
            [[share[i] for i in rows] for rows in _balanced([lengths[i] for i in share], passes, micro_batch)]
            for share in shares
        ]
    return [_empty_last(each, passes) for each in dealt]


class DealtBatches:
    """The batches of one rank in every epoch: what a `DataLoader` takes as its `batch_sampler`.

    Args:
        sampler: the order of the rows of an epoch, the same on every rank.
        lengths: tokens of every row.
        rank: whose batches these are.
        ranks: how many there are.
        rows_per_step: rows of an optimizer step, those of all ranks together.
        passes: forward passes of an optimizer step on each rank.
        micro_batch: rows of a pass at most.
        padded: see `deal`.
    """

    def __init__(
        self,
        sampler: Iterable[int],
        lengths: Sequence[int],
        rank: int,
        ranks: int,
        rows_per_step: int,
        passes: int,
        micro_batch: int,
        *,
        padded: bool,
    ) -> None:
        # accelerate finds the sampler under this name, seeds it and tells it the epoch.
        self.sampler = sampler
        self.batch_size, self.drop_last = micro_batch, False
        self._lengths, self._rank, self._ranks = lengths, rank, ranks
        self._rows, self._passes, self._padded = rows_per_step, passes, padded

    def __len__(self) -> int:
        """Passes of an epoch: every step has as many on every rank, the last one only as many as it needs."""
        steps, left = divmod(len(self._lengths), self._rows)
        return steps * self._passes + self._passes_for(left)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps():
            yield from step[self._rank]

    def steps(self) -> Iterator[list[Passes]]:
        """Every optimizer step of an epoch: for each rank its passes."""
        rows: list[int] = []
        for row in self.sampler:
            rows.append(row)
            if len(rows) == self._rows:
                yield self._dealt(rows)
                rows = []
        if rows:
            yield self._dealt(rows)

    def _dealt(self, rows: Sequence[int]) -> list[Passes]:
        lengths = [self._lengths[row] for row in rows]
        passes = self._passes_for(len(rows))
        dealt = deal(lengths, self._ranks, passes, self.batch_size, padded=self._padded)
        return [[[rows[place] for place in each] for each in rank] for rank in dealt]

    def _passes_for(self, rows: int) -> int:
        return min(self._passes, math.ceil(rows / (self._ranks * self.batch_size)))


def _balanced(costs: Sequence[int], bins: int, capacity: int) -> list[list[int]]:
    """Puts items into bins of at most `capacity` items so that their sums come out alike; the costliest go first."""
    filled: list[list[int]] = [[] for _ in range(bins)]
    sums = [0] * bins
    for item in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        room = (b for b in range(bins) if len(filled[b]) < capacity)
        least = min(room, key=lambda b: (sums[b], len(filled[b])))
        filled[least].append(item)
        sums[least] += costs[item]
    return filled


def _empty_last(passes: Passes, count: int) -> Passes:
    full = [rows for rows in passes if rows]
    return full + [[] for _ in range(count - len(full))]

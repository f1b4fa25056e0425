"""What the tuned model is asked before the next look at the verdict, and the record of the looks taken.

What the first look is taken at follows from the questions alone. The base has answered everything before any later
block, so what there is, and in which order it is asked, is known from its answers. `looks.jsonl` beside the tuned
model's answers holds a line a look: items of every task by then, and the time. It is written after a block was answered
and before it is looked at, so that a run that was killed takes the same looks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from configs.disk.files import read_jsonl, write_jsonl
from configs.errors import DataError
from configs.handover.base import as_dataclass
from configs.recipe.schema import GateConfig
from eval.ask.order import asking_order, first
from eval.ask.results import TaskResult
from eval.compare.pairing import ZERO_WHEN_MISSING, MismatchError, cluster_labels
from eval.statistics.clustered import standard_error
from eval.statistics.forgetting import retention_above_chance_percent
from eval.tasks.task import Task

FILE = "looks.jsonl"
MOST_BLOCKS = 12
"""Larger groups are asked in larger blocks: a look costs the time in which the server runs empty."""


@dataclass(frozen=True)
class Taken:
    """A look that was taken.

    Attributes:
        items: asked of each task by then. digest: of their prompts, since a count says nothing of other questions.
        at: when, UTC.
    """

    items: Mapping[str, int]
    digest: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


class Blocks:
    """The blocks of a comparison, from the base's answers."""

    def __init__(self, base: Mapping[str, TaskResult], config: GateConfig) -> None:
        self._base, self._config = base, config
        self._groups: dict[str, list[str]] = {}
        for name, result in base.items():
            if result.meta.role == "retention":
                self._groups.setdefault(result.meta.group, []).append(name)

    @cached_property
    def whole(self) -> dict[str, int]:
        """Items of every group that is gated: large enough, and not one in which nothing can fail."""
        sizes = {name: self._size(tasks) for name, tasks in self._groups.items()}
        return {n: size for n, size in sizes.items() if size >= self._config.min_items and n not in self.guessed}

    @cached_property
    def guessed(self) -> dict[str, tuple[float, float]]:
        """Large enough groups in which nothing can fail: the base's score and that of guessing, in points.

        It is at chance there, or no higher above it than a group may lose: whatever the tuned model lost would pass.
        """
        found = {}
        for name, tasks in self._groups.items():
            if self._size(tasks) < self._config.min_items:
                continue
            scored = [(result, sample, score) for task in tasks for result in [self._base[task]]
                      for sample, score in zip(result.samples, result.scores(), strict=True)
                      if sample.status == "ok" or result.meta.primary in ZERO_WHEN_MISSING]  # fmt: skip
            scores = np.array([score for _, _, score in scored])
            chance = sum(result.meta.chance for result, _, _ in scored) / max(len(scored), 1)
            labels = cluster_labels((s.prompt_sha256, s.cluster and f"{r.meta.task}/{s.cluster}") for r, s, _ in scored)
            several = len(scores) if labels is None else len(set(labels))
            mean = float(scores.mean()) if several > 1 else 0.0
            error = standard_error(scores, labels) if several > 1 else math.inf
            at_chance = retention_above_chance_percent(mean, mean, chance, error) is None
            if at_chance or 100 * (mean - chance) <= self._config.margin_points:
                found[name] = (100 * mean, 100 * chance)
        return found

    def _size(self, tasks: Sequence[str]) -> int:
        return sum(len(self._base[task].samples) for task in tasks)

    def after(self, before: Taken | None, more_of: Collection[str]) -> Taken:
        """The next look: everything that is not gated at the first one, and a block more of these groups.

        A group in which nothing can fail is described, and a block of it does for that.
        """
        items = dict(before.items) if before else {name: len(result.samples) for name, result in self._base.items()}
        for name, tasks in self._groups.items():
            if name in more_of or not before:
                items |= _a_block_more(tasks, self._order, before.items if before else {}, self._config)
        return Taken(items, self._digest(items))

    def holds(self, taken: Taken) -> bool:
        """Whether a look was taken at these questions."""
        same = taken.items.keys() == self._base.keys()
        return same and self._digest(taken.items) == taken.digest

    def _digest(self, items: Mapping[str, int]) -> str:
        hashed = hashlib.sha256()
        for task in sorted(items):
            asked = set(first(self._order[task], items[task]))
            prompts = [s.prompt_sha256 for s in self._base[task].samples if s.id in asked]
            hashed.update(f"{task} {' '.join(prompts)}\n".encode())
        return hashed.hexdigest()[:16]

    def ids(self, taken: Taken) -> dict[str, set[str]]:
        """What has been asked by a look, by task.

        Raises:
            MismatchError: it was taken at other tasks than the base's.
        """
        if taken.items.keys() != self._base.keys():
            raise MismatchError(
                f"the looks were taken at the tasks {sorted(taken.items)}, the base's are {sorted(self._base)}",
                "evaluate base and tuned with the same tasks",
            )
        return {task: set(first(self._order[task], count)) for task, count in taken.items.items()}

    @cached_property
    def _order(self) -> dict[str, list[list[str]]]:
        return {name: asking_order(result.samples, result.meta.seed) for name, result in self._base.items()}


def first_block(tasks: Sequence[Task], config: GateConfig) -> dict[str, set[str]]:
    """The ids by task that the first look is taken at, known before the base has answered anything."""
    order = {task.name: asking_order(sorted(task.items, key=lambda item: item.id), task.seed) for task in tasks}
    items = {task.name: len(task.items) for task in tasks}
    groups: dict[str, list[str]] = {}
    for task in tasks:
        if task.role == "retention":
            groups.setdefault(task.group, []).append(task.name)
    for names in groups.values():
        items |= _a_block_more(names, order, {}, config)
    return {task: set(first(order[task], count)) for task, count in items.items()}


def _a_block_more(
    tasks: Sequence[str], order: Mapping[str, Sequence[Sequence[str]]], before: Mapping[str, int], config: GateConfig
) -> dict[str, int]:
    """Items of each task of a group after a block more of it; all of a group that is too small to be gated.

    Args:
        tasks: of the group.
        order: the ids of every task, in the order in which they are asked.
        before: items of each task that were asked.
        config: the gate's.
    """
    sizes = {task: sum(map(len, order[task])) for task in tasks}
    size = sum(sizes.values())
    block = config.block_items and max(config.block_items, math.ceil(size / MOST_BLOCKS))
    if not block or size < config.min_items:
        block = size
    share = min(1.0, (sum(before.get(task, 0) for task in tasks) + block) / size)
    wanted = {task: first(order[task], math.ceil(share * sizes[task] - 1e-9)) for task in tasks}
    return {task: max(before.get(task, 0), len(ids)) for task, ids in wanted.items()}


def read_looks(folder: Path) -> list[Taken]:
    """The looks that were taken at an endpoint's answers; none where it was asked everything at once.

    Raises:
        DataError: a line is not a look.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        return [as_dataclass(Taken, row) for _, row in read_jsonl(path)]
    except ValueError as error:
        raise DataError(f"{path}: not the looks of an evaluation ({error})", "delete it and compare again") from error


def note_looks(folder: Path, taken: Sequence[Taken]) -> None:
    """Writes the record, whole and at once."""
    write_jsonl(folder / FILE, map(asdict, taken))

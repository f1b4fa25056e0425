"""The held-out suite: items of every task that pretraining has never seen, as rows of `configs/demo/data`.

What makes them unseen: facts and choices ask in wordings no fact was trained with; extraction and summaries are about
names of the held-out share; arithmetic uses held-out combinations of operands.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from scripts.demo_model import arithmetic, facts, notices, passages, records
from scripts.demo_model.items import Item

TASKS = ("facts", "arithmetic", "choice", "extract", "summary")
SIZE = 200
SEED = 11


def row(item: Item, number: int, name: str) -> dict[str, Any]:
    """A test row: no assistant message, the accepted answers beside the question."""
    built: dict[str, Any] = {"id": f"{name}-{number:03d}"}
    if item.cluster:
        built["cluster"] = item.cluster
    built |= {"messages": [{"role": "user", "content": item.prompt}], "answers": [item.answer]}
    return {**built, "choices": item.choices} if item.choices else built


def _distinct(draw: Callable[[], Item], size: int) -> list[Item]:
    unique: dict[str, Item] = {}
    while len(unique) < size:
        item = draw()
        unique.setdefault(item.prompt, item)
    return list(unique.values())


def _passage(rng: Random, cluster: str) -> list[Item]:
    """Two questions about one passage, or for every fifth about one record."""
    if rng.random() < 0.2:
        return records.lookups(rng, "heldout", 2, cluster)
    return passages.questions(rng, passages.passage(rng, "heldout"), 2, cluster)


def items(task: str, size: int = SIZE) -> list[Item]:
    """The held-out items of one task, the same on every machine."""
    rng = Random(f"{SEED} {task}")
    if task == "facts":
        return _distinct(lambda: facts.fact(rng, heldout=True), size)
    if task == "choice":
        return _distinct(lambda: facts.choice(rng, heldout=True), size)
    if task == "arithmetic":
        return _distinct(lambda: arithmetic.sum_item(rng, "heldout"), size)
    if task == "summary":
        return [notices.summary(rng, "heldout") for _ in range(size)]
    if task == "extract":
        return [item for number in range(size // 2) for item in _passage(rng, f"passage-{number:03d}")]
    raise ValueError(f"Unknown task {task!r}; known: {', '.join(TASKS)}")


def rows(task: str, size: int = SIZE) -> list[dict[str, Any]]:
    """The held-out items of one task as test rows."""
    return [row(item, number, task) for number, item in enumerate(items(task, size))]

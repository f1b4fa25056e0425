"""The held-out suite: items of every task that pretraining has never seen, as rows of `configs/demo/data`.

What makes them unseen: facts and choices ask in wordings no fact was trained with; extraction and summaries are about
names of the held-out share; arithmetic uses held-out combinations of operands.
"""

from random import Random
from typing import Any

from scripts.demo_model import arithmetic, facts, notices, passages
from scripts.demo_model.fact_tables import RELATIONS, Relation
from scripts.demo_model.items import Item

TASKS = ("facts", "arithmetic", "choice", "extract", "summary")
SIZE = 200
SEED = 11


def row(item: Item, number: int, name: str) -> dict[str, Any]:
    """A test row: no assistant message, the accepted answers beside the question."""
    built: dict[str, Any] = {
        "id": f"{name}-{number:03d}",
        "cluster": item.cluster or f"{name}-{number:03d}",
        "messages": [{"role": "user", "content": item.prompt}],
        "answers": [item.answer],
    }
    return {**built, "choices": item.choices} if item.choices else built


def _subjects(rng: Random, relations: list[Relation], size: int) -> list[tuple[Relation, str]]:
    every = [(relation, subject) for relation in relations for subject in relation.pairs]
    return rng.sample(every, size)


def items(task: str, size: int = SIZE) -> list[Item]:
    """The held-out items of one task, the same on every machine."""
    rng = Random(f"{SEED} {task}")
    if task == "facts":
        return [facts.ask(rng, relation, subject, heldout=True) for relation, subject in _subjects(rng, list(RELATIONS), size)]
    if task == "choice":
        eligible = [one for one in RELATIONS if len(set(one.pairs.values())) >= 4]
        return [facts.choose(rng, relation, subject, heldout=True) for relation, subject in _subjects(rng, eligible, size)]
    if task == "arithmetic":
        unique = {}
        while len(unique) < size:
            item = arithmetic.sum_item(rng, "heldout")
            unique[item.prompt] = item
        return list(unique.values())
    if task == "summary":
        return [notices.summary(rng, "heldout", f"summary-{number:03d}") for number in range(size)]
    if task == "extract":
        return [
            item
            for number in range(size // 2)
            for item in passages.questions(rng, passages.passage(rng, "heldout"), 2, f"passage-{number:03d}")
        ]
    raise ValueError(f"Unknown task {task!r}; known: {', '.join(TASKS)}")


def rows(task: str, size: int = SIZE) -> list[dict[str, Any]]:
    """The held-out items of one task as test rows."""
    return [row(item, number, task) for number, item in enumerate(items(task, size))]

"""The order in which the items of a task are asked where not all of them may be needed.

Any first part of it is a fair sample of the whole: balanced over the strata of the made suite or the subjects of an
exam, with the questions on one passage together. It follows from the questions, which are recorded with the answers, so
that whoever reads them later finds the same parts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from eval.ask.results import Sample
from eval.tasks.task import Item


def asking_order(samples: Sequence[Sample | Item], seed: int) -> list[list[str]]:
    """Units of ids, one id each or those that share a cluster, in the order in which they are asked.

    Args:
        samples: of the whole task, asked or not yet, sorted by id.
        seed: of the task; it shuffles what is not balanced already. The made suite is, by its ids.
    """
    if samples and all("stratum" in sample.detail for sample in samples):
        return [[sample.id] for sample in samples]
    subjects: dict[str, dict[str, list[str]]] = {}
    for sample in samples:
        unit = f"s:{sample.id}" if sample.cluster is None else f"c:{sample.cluster}"
        subjects.setdefault(str(sample.detail.get("subject", "")), {}).setdefault(unit, []).append(sample.id)
    placed: list[tuple[float, str, list[str]]] = []
    for subject, units in sorted(subjects.items()):
        drawn = list(units.values())
        random.Random(f"{seed}/{subject}").shuffle(drawn)
        placed += [((place + 0.5) / len(drawn), subject, unit) for place, unit in enumerate(drawn)]
    return [unit for _, _, unit in sorted(placed, key=lambda one: one[:2])]


def first(order: Sequence[Sequence[str]], count: int) -> list[str]:
    """At least so many ids from the beginning: the last unit is taken whole."""
    taken: list[str] = []
    for unit in order:
        if len(taken) >= count:
            break
        taken += unit
    return taken

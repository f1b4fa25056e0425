"""What a verdict leaves unsaid: what speaks against a model that passed, and what would decide an open verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from configs.recipe.schema import GateConfig
from eval.compare.baseline import EMPTY_SHARE
from eval.compare.comparison import Behaviour, GateCheck, GroupComparison, Sentence, TaskComparison

ENDED_PERCENT = 99.0
"""Of the answers; a smaller share that end by themselves is bad where the base's was larger."""


@dataclass(frozen=True)
class Sign:
    """One sign of how cleanly both answered, over all tasks; `good` tells whether tuned may stand as it is."""

    name: str
    base: float
    tuned: float
    good: bool


def signs(tasks: Sequence[TaskComparison]) -> list[Sign]:
    """Answers that end by themselves (percent), thinking left in answers, questions without answers, empty answers."""
    base, tuned = [task.base_behaviour for task in tasks], [task.tuned_behaviour for task in tasks]
    found = []
    before, after = ended(base), ended(tuned)
    if before is not None and after is not None:
        found.append(Sign("stop", before, after, after >= min(before, ENDED_PERCENT)))
    for name, field in (("leaks", "thinking_leak"), ("errors", "errors"), ("empty", "empty")):
        lost, left = (sum(getattr(seen, field) for seen in side) for side in (base, tuned))
        good = {"leaks": left == 0, "errors": lost + left == 0, "empty": left <= lost}[name]
        found.append(Sign(name, lost, left, good))
    return found


def ended(behaviours: Sequence[Behaviour]) -> float | None:
    """Percent of the generated answers that ended by themselves, over all tasks."""
    known = [(seen.stop_percent, seen.samples - seen.errors) for seen in behaviours]
    weights = [(percent * n, n) for percent, n in known if percent is not None]
    total = sum(n for _, n in weights)
    return sum(weight for weight, _ in weights) / total if total else None


def reservations(
    tasks: Sequence[TaskComparison], groups: Sequence[GroupComparison], config: GateConfig
) -> tuple[Sentence, ...]:
    """One sentence for each red line of a report that passed: falls beyond chance, and answers that are not clean."""
    found = []
    fallen = {task.name for task in tasks if significant_fall(task, config.confidence)}
    for task in tasks:
        if task.name in fallen:
            values = {"task": task.name, "delta": task.delta_points, "p": task.p_holm}
            found.append(Sentence(f"reservation.{'fell' if task.role == 'retention' else 'target'}", values))
    for task in tasks:
        seen = task.base_behaviour
        answered = seen.samples - seen.errors if seen.stop_percent is not None else 0
        if task.role == "retention" and answered and seen.empty >= EMPTY_SHARE * answered:
            values = {"task": task.name, "empty": seen.empty, "asked": answered}
            found.append(Sentence("reservation.silent", values))
    for group in groups:
        # Several tasks may have fallen together, none of them by itself.
        if group.interval.upper < 0 and not fallen & set(group.tasks):
            values = {"group": group.name, "delta": group.delta_points, "upper": group.interval.upper}
            found.append(Sentence("reservation.group", values))
    found += [
        Sentence(f"reservation.{sign.name}", {"before": sign.base, "after": sign.tuned})
        for sign in signs(tasks)
        if not sign.good
    ]
    return tuple(found)


def significant_fall(task: TaskComparison, confidence: float) -> bool:
    """Whether a task fell beyond chance, corrected over all tasks."""
    return task.delta_points < 0 and task.p_holm < 1 - confidence


def remedy(checks: Sequence[GateCheck], config: GateConfig) -> Sentence | None:
    """What decides an open verdict: a gated group first, then more items of the group that lacks most, then targets.

    A check of which something was left to ask is none of it where another one ended the asking; where none did, the run
    was interrupted, or asked by rules that stopped earlier.
    """
    if not any(check.kind == "group" and check.state != "described" for check in checks):
        return Sentence("remedy.suite", {"min_items": config.min_items})
    undecided = [check for check in checks if check.state == "not_enough_evidence"]
    still = [check for check in undecided if check.all_asked]
    asked_in_looks = [check for check in undecided if check.kind in ("group", "mean")]
    if asked_in_looks and not any(check.all_asked for check in asked_in_looks):
        return Sentence("remedy.more", {"name": asked_in_looks[0].name, "n": asked_in_looks[0].n})
    short = [check for check in still if check.kind == "group" and (check.information or 1.0) < 1]
    if short:
        worst = min(short, key=lambda check: check.information or 1.0)
        needed = math.ceil(worst.n / max(worst.information or 1.0, 1e-3) / 100) * 100
        return Sentence("remedy.items", {"name": worst.name, "n": worst.n, "needed": needed})
    own = next((check for check in still if check.kind == "own_answers"), None)
    if own is not None:
        return Sentence("remedy.own_answers", {"n": own.n, "needed": 4 * own.n})
    asked = [check for check in still if check.kind != "target"]
    if asked:
        return Sentence("remedy.near", {"name": asked[0].name, "delta": asked[0].delta_points, "power": config.power})
    if still:
        return Sentence("remedy.target", {"name": still[0].name, "n": still[0].n})
    return None

"""What to change in the recipe, said only when a retention task fell significantly.

Every piece of advice names the setting, the value this run had, and the fall that speaks for it. A setting that the run
does not tell gets no advice. Background: replaying general data counters forgetting (Scialom et al. 2022,
arXiv 2205.12393); LoRA forgets less than full fine-tuning, and less with fewer epochs (Biderman et al. 2024, arXiv
2405.09673).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.compare.comparison import Advice, Sentence, TaskComparison

HIGH_LEARNING_RATE = 5e-5
HIGH_EPOCHS = 1
HIGH_RANK = 16
HIGH_REPLAY_RATIO = 0.5
FORMAT_SHARE = 0.05
"""When this share more of the answers cannot be read or does not end, format explains a fall before knowledge does."""
SHORTER = 0.75
"""Answers under this share of their old length are another kind of answer: one without the work."""
LONG_ANSWER_TOKENS = 50
"""Shorter answers hold no work that could be left out."""


def advise(tasks: Sequence[TaskComparison], recipe: Mapping[str, Any], confidence: float) -> tuple[Advice, ...]:
    """Advice for a run.

    Args:
        tasks: of the comparison, with Holm-corrected p-values.
        recipe: the resolved config as a nested mapping (`data`, `lora`, `train`); may be empty.
        confidence: a fall is significant when its corrected p-value is under 1 - confidence.
    """
    fallen = [t for t in tasks if t.role == "retention" and t.delta_points < 0 and t.p_holm < 1 - confidence]
    if not fallen:
        return ()
    worst = min(fallen, key=lambda task: task.delta_points)
    evidence = {"task": worst.name, "delta": worst.delta_points, "p": worst.p_holm, "fallen": len(fallen)}
    advice = [explain(task) for task in fallen for explain in (_format, _shorter)]
    return tuple(item for item in advice if item is not None) + tuple(_settings(recipe, evidence))


def _format(task: TaskComparison) -> Advice | None:
    """Advice when the fall comes with answers that cannot be read, which is not forgotten knowledge."""
    before, after = task.base_behaviour, task.tuned_behaviour
    for setting, base, tuned in (
        ("unparsed", before.unparsed, after.unparsed),
        ("max_tokens", before.truncated, after.truncated),
    ):
        if tuned - base > FORMAT_SHARE * task.asked:
            values = {"task": task.name, "base": base, "tuned": tuned, "asked": task.asked, "delta": task.delta_points}
            return Advice(setting, str(tuned), Sentence(f"advice.{setting}", values))
    return None


def _shorter(task: TaskComparison) -> Advice | None:
    """Advice when the fall comes with answers that became much shorter."""
    base, tuned = (side.mean_completion_tokens or 0.0 for side in (task.base_behaviour, task.tuned_behaviour))
    if base < LONG_ANSWER_TOKENS or tuned > SHORTER * base:
        return None
    values = {"task": task.name, "base": round(base), "tuned": round(tuned), "delta": task.delta_points}
    return Advice("data.replay", str(round(tuned)), Sentence("advice.shorter", values))


def _settings(recipe: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[Advice]:
    data, train, lora = recipe.get("data"), recipe.get("train"), recipe.get("lora")
    advice = []

    def add(setting: str, seen: object, key: str) -> None:
        advice.append(Advice(setting, str(seen), Sentence(key, {**evidence, "seen": seen})))

    if data is not None:
        replay = data.get("replay")
        if replay is None:
            add("data.replay", "none", "advice.replay.add")
        elif replay["ratio"] < HIGH_REPLAY_RATIO:
            add("data.replay.ratio", replay["ratio"], "advice.replay.raise")
    if train is not None:
        if train.get("method") == "full":
            add("train.method", "full", "advice.full")
        if train.get("learning_rate", 0) > HIGH_LEARNING_RATE:
            add("train.learning_rate", train["learning_rate"], "advice.learning_rate")
        if train.get("epochs", 0) > HIGH_EPOCHS and not train.get("max_steps"):
            add("train.epochs", train["epochs"], "advice.epochs")
    if lora is not None and (train or {}).get("method", "lora") == "lora" and lora.get("r", 0) > HIGH_RANK:
        add("lora.r", lora["r"], "advice.rank")
    return advice

"""From an answer to scores: one function for each kind of task."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from configs.model.fingerprint import files_fingerprint
from eval.metrics import constraints
from eval.metrics.choice import extract_choice
from eval.metrics.cmrc import cmrc_em, cmrc_f1
from eval.metrics.number import extract_number, number_match
from eval.metrics.rouge import best_rouge, jieba_version, words
from eval.metrics.text import copy_rate, han_count, language_switch, length_ratio, repetition, zh_em, zh_f1
from eval.tasks.prompts import says_no_answer
from eval.tasks.task import Item, Kind, Task


@dataclass(frozen=True)
class Scored:
    """Scores of one answer, flags such as `unparsed`, and what was read from it."""

    scores: Mapping[str, float]
    flags: Sequence[str] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scoring:
    """How a kind of task is scored.

    Args:
        primary: the metric that is compared.
        metrics: quality measures, 0..1 each, more is better.
        diagnostics: what describes an answer without a better side.
        max_tokens: longest answer that the kind needs; None where the evaluation's default will do.
    """

    primary: str
    metrics: tuple[str, ...]
    score: Callable[[Item, str], Scored]
    diagnostics: tuple[str, ...] = ()
    max_tokens: int | None = None


def _qa(item: Item, answer: str) -> Scored:
    if item.detail.get("unanswerable"):
        # As the official script of SQuAD 2.0: without a gold answer, no answer scores 1 and any other 0.
        none = float(says_no_answer(answer))
        return Scored({**dict.fromkeys(("cmrc_em", "cmrc_f1", "zh_em", "zh_f1"), none), **_shape(item, answer)})
    return Scored(
        {
            "cmrc_em": cmrc_em(answer, item.references),
            "cmrc_f1": cmrc_f1(answer, item.references),
            "zh_em": zh_em(answer, item.references),
            "zh_f1": zh_f1(answer, item.references),
            **_shape(item, answer),
        }
    )


def _summary(item: Item, answer: str) -> Scored:
    by_word = best_rouge(answer, item.references, words)
    return Scored(
        {
            **best_rouge(answer, item.references),
            **{f"{name}_word": value for name, value in by_word.items()},
            "copy_rate": copy_rate(answer, item.source),
            "repetition": repetition(answer),
            **_shape(item, answer),
        }
    )


def _shape(item: Item, answer: str) -> dict[str, float]:
    first = item.references[0]
    return {"length_ratio": length_ratio(answer, first), "language_switch": float(language_switch(answer, first))}


def _choice(item: Item, answer: str) -> Scored:
    letter = extract_choice(answer, item.choices)
    flags = () if letter else ("unparsed",)
    return Scored({"accuracy": float(letter in item.references)}, flags, {"letter": letter})


def _number(item: Item, answer: str) -> Scored:
    value = extract_number(answer)
    flags = () if value is not None else ("unparsed",)
    correct = max(number_match(answer, reference) for reference in item.references)
    return Scored({"accuracy": correct}, flags, {"number": None if value is None else str(value)})


def _exact(item: Item, answer: str) -> Scored:
    same = any(answer.strip() == reference.strip() for reference in item.references)
    return Scored({"exact_match": float(same), "zh_em": zh_em(answer, item.references)})


def _instruction(item: Item, answer: str) -> Scored:
    held = [constraints.check(constraint, answer) for constraint in item.constraints]
    return Scored(constraints.score(item.constraints, answer), detail={"held": held})


_SHAPE = ("length_ratio", "language_switch")
SCORING: dict[Kind, Scoring] = {
    "qa": Scoring("cmrc_em", ("cmrc_em", "cmrc_f1", "zh_em", "zh_f1"), _qa, _SHAPE),
    "summary": Scoring(
        "rougeL",
        ("rougeL", "rouge1", "rouge2", "rouge1_word", "rouge2_word", "rougeL_word"),
        _summary,
        (*_SHAPE, "copy_rate", "repetition"),
    ),
    "choice": Scoring("accuracy", ("accuracy",), _choice),
    "number": Scoring("accuracy", ("accuracy",), _number, max_tokens=512),
    "exact": Scoring("exact_match", ("exact_match", "zh_em"), _exact),
    "instruction": Scoring("if_strict", ("if_strict", "if_instruction", "if_loose"), _instruction, max_tokens=768),
}


@cache
def scoring_sha256() -> str:
    """Names the rules by which answers are scored: scores of other rules say something else of the same answers."""
    metrics = Path(constraints.__file__).parent
    rules = [*sorted(metrics.glob("*.py")), Path(__file__), Path(__file__).with_name("prompts.py")]
    return hashlib.sha256(f"{files_fingerprint(rules)} {jieba_version()}".encode()).hexdigest()


def primary_metric(task: Task) -> str:
    """The metric that is compared: the task's own, else its kind's.

    Questions without a Chinese character in any reference take `zh_em`: the official script of CMRC drops Chinese
    punctuation only, so that "Early spring." would be no match for "early spring".
    """
    if task.primary:
        return task.primary
    if task.kind == "qa" and not any(han_count(reference) for item in task.items for reference in item.references):
        return "zh_em"
    return SCORING[task.kind].primary

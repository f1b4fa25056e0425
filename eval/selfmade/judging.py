"""Which questions are asked, and which answers are used: one stated rule each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from eval.selfmade.loops import loops
from eval.selfmade.overlap import Asked, Earlier
from eval.selfmade.pool import Answer, Question
from eval.selfmade.steering import KINDS
from eval.selfmade.units import CHARACTER, WORD, units

QUESTION_FAULTS = (
    "failed", "question_not_ended", "too_short", "special_text", "loop", "prompt_repeated", "asked_elsewhere",
    "near_duplicate",
)  # fmt: skip
"""Why a question is not asked; `selfmade.fault.*` among the texts says each in words."""
ANSWER_FAULTS = (
    "failed", "answer_not_ended", "other_end", "empty", "no_reasoning", "reasoning_left", "special_text", "loop",
    "asked_elsewhere", "near_duplicate",
)  # fmt: skip
"""Why an answer is not used."""

SPECIAL_TEXT = re.compile(r"<\|[^<>|\n]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>|\ufffd")
"""Tags of chat templates, and what is left of a broken character."""
THINK_TAG = re.compile(r"</?think>")
_SHORTEST = 3 * WORD
_LONG_ANSWER = 30
"""From so many units on two answers are compared: `yes` may be right twice."""


@dataclass
class Judge:
    """Looks at questions and answers in the order of their numbers; knows what came before."""

    asked: Asked
    """What held-out rows and tasks ask."""
    thinking: bool
    """Whether reasoning is trained."""
    end_token_id: int
    """The last token of a trained answer."""
    _questions: Earlier = field(default_factory=Earlier)
    _answers: Earlier = field(default_factory=Earlier)
    _steering: Asked = field(default_factory=Asked)

    def __post_init__(self) -> None:
        self._steering.add([(kind, texts) for kind, texts in KINDS.items()])

    def question(self, question: Question) -> str | None:
        """Which of QUESTION_FAULTS a question has; None where it can be asked."""
        text = question.text
        if question.failed:
            return "failed"
        if not question.ended:
            return "question_not_ended"
        if weight(text) < _SHORTEST:
            return "too_short"
        if SPECIAL_TEXT.search(text) or THINK_TAG.search(text):
            return "special_text"
        if loops(text):
            return "loop"
        if self._steering.holds(text):
            return "prompt_repeated"
        if self.asked.asks(text):
            return "asked_elsewhere"
        return None if self._questions.is_new(text) else "near_duplicate"

    def answer(self, answer: Answer) -> str | None:
        """Which of ANSWER_FAULTS an answer has; None where it can be used."""
        text = answer.content
        if answer.failed:
            return "failed"
        if not answer.ended:
            return "answer_not_ended"
        if answer.answer_ids[-1] != self.end_token_id:
            return "other_end"
        if not text.strip():
            return "empty"
        if self.thinking and not (answer.reasoning or "").strip():
            return "no_reasoning"
        whole = f"{answer.reasoning or ''}\n{text}"
        if THINK_TAG.search(whole):
            return "reasoning_left"
        if SPECIAL_TEXT.search(whole):
            return "special_text"
        if loops(text) or (answer.reasoning and loops(answer.reasoning)):
            return "loop"
        if self.asked.holds(whole):
            return "asked_elsewhere"
        new = len(units(text)) < _LONG_ANSWER or self._answers.is_new(text)
        return None if new else "near_duplicate"


def weight(text: str) -> int:
    """Weight of a text in the measure of `units`; a lone letter or digit weighs as little as a character."""
    return sum(CHARACTER if len(unit) == 1 else WORD for unit in units(text))

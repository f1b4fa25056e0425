"""An item in the making: sentences in one language, drawn from a generator of its own, with the proof of its answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
LEVELS = (1, 2, 3, 4, 5)
"""From two steps that a model of half a billion parameters may take to a dozen that one of 14 billion may miss."""
_TRIES = 500
T = TypeVar("T")


class NothingFits(ValueError):
    """What was drawn first leaves nothing that fits; the item is drawn anew."""


@dataclass
class Draft:
    """One item while it is written.

    Attributes:
        rng: draws everything about it.
        language: of its text.
        level: 1 to 5.
        sentences: said so far.
        steps: `expression = value` of every calculation behind the answer, the last one yielding it.
    """

    rng: random.Random
    language: Language
    level: int
    sentences: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    @property
    def zh(self) -> bool:
        """Whether it is written in Chinese."""
        return self.language == "zh"

    def either(self, zh: T, en: T) -> T:
        """What belongs to the language of the item."""
        return zh if self.zh else en

    def say(self, zh: str, en: str) -> None:
        """Adds a sentence."""
        self.sentences.append(self.either(zh, en))

    def step(self, expression: str, value: int) -> int:
        """Notes a calculation; returns its value."""
        self.steps.append(f"{expression} = {value}")
        return value

    def by_level(self, *values: T) -> T:
        """The value for this level, of five."""
        return values[self.level - 1]

    def pick(self, several: Sequence[T]) -> T:
        """One of several."""
        return self.rng.choice(several)

    def some(self, several: Sequence[T], count: int) -> list[T]:
        """So many different ones, in a drawn order."""
        return self.rng.sample(several, count)

    def number(self, low: int, high: int, multiple_of: int = 1) -> int:
        """A whole number between two bounds, both included, and a multiple of something."""
        return multiple_of * self.rng.randint(-(-low // multiple_of), high // multiple_of)

    def until(self, draw: Callable[[], T], fits: Callable[[T], bool]) -> T:
        """Draws until something fits.

        Raises:
            NothingFits: nothing did in 500 draws.
        """
        for _ in range(_TRIES):
            drawn = draw()
            if fits(drawn):
                return drawn
        raise NothingFits("widen the range that is drawn from")

    @property
    def text(self) -> str:
        """All sentences: Chinese without spaces between them, English with."""
        return self.either("", " ").join(self.sentences)


def problem(draft: Draft, zh: str, en: str, answer: int) -> dict[str, Any]:
    """The row of a problem that ends in this question, with a number for its answer."""
    draft.say(zh, en)
    return {"question": draft.text, "answer": str(answer)}


def passage(draft: Draft, zh: str, en: str, answers: list[str]) -> dict[str, Any]:
    """The row of a passage with a question on it, and the answers that count."""
    return {"context": draft.text, "question": draft.either(zh, en), "answers": answers}


Program = Callable[[Draft], dict[str, Any]]
"""Writes one item: the fields of its row but `id`, `stratum` and `steps`."""


def rows(family: str, programs: dict[str, Program], count: int) -> list[dict[str, Any]]:
    """The first `count` items of a family, the same at every call, no text twice.

    Item k belongs to stratum k modulo their number (program, language and level), so that any first part of the rows
    holds every stratum alike, and more rows only continue fewer.

    Raises:
        ValueError: a program cannot write that many different items.
    """
    made: list[dict[str, Any]] = []
    seen: set[str] = set()
    strata = list(_strata(programs))
    for number in range(count):
        name, language, level = strata[number % len(strata)]
        for attempt in range(_TRIES):
            draft = Draft(random.Random(f"{family}/{name}/{language}/{level}/{number}/{attempt}"), language, level)
            try:
                row = programs[name](draft)
            except NothingFits:
                continue
            text = f"{row.get('context', '')}\n{row['question']}"
            if text not in seen:
                break
        else:
            raise ValueError(f"{family}: {name} at level {level} in {language} has no further item after {number}")
        seen.add(text)
        steps = {"steps": draft.steps} if draft.steps else {}
        made.append({"id": f"{family}-{number + 1:05d}", "stratum": f"{name} {language} {level}", **row, **steps})
    return made


def _strata(programs: dict[str, Program]) -> Iterator[tuple[str, Language, int]]:
    for level in LEVELS:
        for name in programs:
            for language in LANGUAGES:
                yield name, language, level

"""What a base wrote with one seed and one set of settings, kept in a folder and written down as it comes.

A pool only grows: a run that was killed goes on with what is there, and one that needs more rows has the others made.
Which of it is usable is decided anew by every run, whose held-out rows and tasks are its own.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from configs.disk.files import appended, json_line, read_jsonl, write_jsonl
from configs.errors import TuneserveError
from configs.handover.base import what_is_wrong
from configs.handover.selfmade import SoftTargets
from eval.ask.results import drop_torn_line


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    number: int
    """Number of the draw."""


class Question(_Line):
    """A question as it was drawn."""

    text: str
    """What the model wrote in the user's place."""
    ended: bool
    """Whether it ended by itself."""
    tokens: int
    """Its length."""
    failed: str | None = None
    """Class of the error that the server kept answering with."""


class Answer(_Line):
    """An answer as it was given."""

    content: str
    """Its text."""
    reasoning: str | None
    """What was thought before it."""
    ended: bool
    """Whether it ended by itself."""
    prompt_ids: list[int]
    """Token ids that the server built for the question."""
    answer_ids: list[int]
    """Token ids that were answered."""
    failed: str | None = None
    """Class of the error that the server kept answering with."""


class Likelihood(_Line):
    """How likely an answer is to the base."""

    logprob: float
    """In nats, summed over the answer's tokens."""


Kind = TypeVar("Kind", Question, Answer, Likelihood, SoftTargets)
_LIKELY_TOKENS = "likely_tokens.jsonl"


class Pool:
    """The journals of a folder, by the number of the draw. One process at a time writes into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.questions = _by_number(self._kept("questions.jsonl", Question))
        # Where a crash of the machine took lines of one journal only, a question that is drawn again may be another.
        self.answers = _by_number(self._kept("answers.jsonl", Answer, self.questions))
        self.likelihoods = _by_number(self._kept("likelihoods.jsonl", Likelihood, self.answers))
        # They alone are too many to be held: a hundred times as long as their answers.
        self.soft_targets = {line.number for line in self._kept(_LIKELY_TOKENS, SoftTargets, self.answers)}

    def add(self, line: Question | Answer | Likelihood | SoftTargets) -> None:
        """Keeps a line, and writes it down at once: after a kill the last one is torn at most.

        What the server failed at is not written down, so that another run asks it again.
        """
        if isinstance(line, Question):
            self.questions[line.number], name = line, "questions.jsonl"
        elif isinstance(line, Answer):
            self.answers[line.number], name = line, "answers.jsonl"
        elif isinstance(line, Likelihood):
            self.likelihoods[line.number], name = line, "likelihoods.jsonl"
        else:
            self.soft_targets.add(line.number)
            name = _LIKELY_TOKENS
        if isinstance(line, Question | Answer) and line.failed:
            return
        with appended(self.folder / name) as journal:
            journal.write(json_line(line.model_dump(mode="json")))

    def likely_tokens(self, numbers: Container[int]) -> Iterator[SoftTargets]:
        """The soft targets of some draws, one after the other, in the order in which they were written down."""
        return (line for line in self._lines(_LIKELY_TOKENS, SoftTargets) if line.number in numbers)

    def _kept(self, name: str, kind: type[Kind], known: Container[int] | None = None) -> Iterator[Kind]:
        """The lines of a journal; those whose draw is not `known` are taken out of it, before another one has it."""
        file = self.folder / name
        if not file.exists():
            return
        drop_torn_line(file)
        unknown = False
        for line in self._lines(name, kind):
            if known is None or line.number in known:
                yield line
            else:
                unknown = True
        if known is not None and unknown:
            kept = (line for line in self._lines(name, kind) if line.number in known)
            write_jsonl(file, (line.model_dump(mode="json") for line in kept))

    def _lines(self, name: str, kind: type[Kind]) -> Iterator[Kind]:
        file = self.folder / name
        for number, raw in read_jsonl(file):
            try:
                line = kind.model_validate(raw)
            except ValidationError as error:
                raise TuneserveError(
                    f"{file}, line {number}: {what_is_wrong(error)}",
                    f"delete the folder {self.folder}: it is a cache, and is made again",
                ) from error
            yield line


def _by_number(lines: Iterable[Kind]) -> dict[int, Kind]:
    return {line.number: line for line in lines}

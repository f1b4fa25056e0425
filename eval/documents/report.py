"""OUT/report.json: what became of every document, passage and pair, with samples for a person to read."""

from __future__ import annotations

from typing import Literal

from configs.handover.base import HandedOver
from configs.handover.selfmade import Spread

Use = Literal["train", "held_out", "both", "none"]


class UnreadFile(HandedOver):
    """A file that was not read."""

    name: str
    """Path below the folder."""
    why: str
    """What is wrong with it, and what helps."""


class SampleRow(HandedOver):
    """A pair with its passage, for people's eyes."""

    question: str
    """As the model wrote it."""
    answer: str
    """The same."""
    place: str
    """Heading path and page."""
    passage: str
    """What it was shown, cut where it is long."""
    fault: str | None = None
    """Why it was left out; None for a row."""
    found: str = ""
    """What stood there."""


class DocumentCounts(HandedOver):
    """What became of one document."""

    name: str
    """Path below the folder."""
    kind: str
    """Suffix without the point."""
    characters: int
    """Of its text."""
    passages: int
    """Passages that it has."""
    answered: int
    """Of these, those that were asked about and got a reply."""
    pairs: int
    """Pairs that were written about them."""
    train: int
    """Rows of train.jsonl."""
    held_out: int
    """Rows of held_out.jsonl."""
    use: Use
    """Which side its rows are on; `both` only where a single document was split by its sections."""
    notes: list[str]
    """What its reader had to say."""
    samples: list[SampleRow]
    """A few of its rows."""


class DocumentsReport(HandedOver):
    """The whole."""

    folder: str
    """What was read."""
    model: str
    """Who wrote."""
    style: str
    """`full` or `short` answers."""
    with_passage: bool
    """Whether rows hold their passage as `context`."""
    split_by: str
    """`document` or `section`."""
    copies: list[list[str]]
    """Documents that are nearly the same, and stay on one side."""
    documents: list[DocumentCounts]
    """In the order of their names."""
    unread: list[UnreadFile]
    """Files that were not read."""
    not_asked: dict[str, int]
    """Passages that were not asked about, by reason."""
    unanswered: int
    """Passages that the endpoint gave no reply for; the same command asks them again."""
    replies: dict[str, int]
    """Replies, and parts of replies, that hold no pair, by reason."""
    rejected: dict[str, int]
    """Pairs that were left out, by reason."""
    kinds: dict[str, int]
    """Rows by how their answer stands in the passage: `quoted` or `own_words`."""
    languages: dict[str, int]
    """Rows by the language that was asked for."""
    question_characters: Spread | None
    """Lengths of the rows' questions; None without rows."""
    answer_characters: Spread | None
    """Lengths of their answers."""
    rejected_samples: list[SampleRow]
    """A few pairs of each reason."""

    @property
    def train(self) -> int:
        """Rows that are trained."""
        return sum(document.train for document in self.documents)

    @property
    def held_out(self) -> int:
        """Rows that are held out."""
        return sum(document.held_out for document in self.documents)

    @property
    def pairs(self) -> int:
        """Pairs that were written."""
        return sum(document.pairs for document in self.documents)

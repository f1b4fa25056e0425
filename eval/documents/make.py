"""From documents and what a model wrote about them to rows, and an account of everything that became none.

What comes out depends on the documents, the replies and the settings alone: a command that was killed comes to the same
rows as one that was not.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from configs.handover.selfmade import Spread
from eval.documents.asked import Replies, Reply
from eval.documents.blocks import Document
from eval.documents.judging import Judge, Verdict
from eval.documents.passages import Passage, passages_of
from eval.documents.prompts import Style
from eval.documents.reading import Folder
from eval.documents.replies import Pair, pairs_of
from eval.documents.report import DocumentCounts, DocumentsReport, SampleRow, UnreadFile, Use
from eval.documents.split import Split, split
from eval.selfmade.judging import SPECIAL_TEXT, THINK_TAG

Language = Literal["auto", "zh", "en"]
SAMPLES = 3
"""Rows shown of each document, and pairs shown of each reason."""
_SHOWN = 700


@dataclass(frozen=True)
class Settings:
    """What is made of a folder."""

    per_passage: int = 3
    """Pairs about each passage, at most."""
    style: Style = "full"
    with_passage: bool = False
    """Rows hold their passage, so that reading it is what is learned."""
    passage_tokens: int = 600
    """Longest passage."""
    language: Language = "auto"
    """In which pairs are written; `auto` takes each passage's own."""
    held_out: float = 0.1
    """Share of the passages whose documents are held out."""
    limit: int | None = None
    """At most so many passages are asked about."""
    seed: int = 42

    def spoken(self, passage: Passage) -> str:
        """The language in which pairs about a passage are written."""
        return (passage.language or "en") if self.language == "auto" else self.language


@dataclass
class Plan:
    """What is asked about."""

    passages: list[Passage]
    """In the order of the documents."""
    counts: dict[str, int]
    """All passages of each document."""
    split: Split
    not_asked: Counter[str] = field(default_factory=Counter)
    """Passages that are not, by reason: `special_text`, `same_passage`, `limit`."""


@dataclass(frozen=True)
class Made:
    """What was made."""

    train: list[dict[str, Any]]
    held_out: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    report: DocumentsReport


def plan(documents: Sequence[Document], settings: Settings) -> Plan:
    """The passages that are asked about, and which documents are held out."""
    every = [passage for document in documents for passage in passages_of(document, settings.passage_tokens)]
    counts = Counter(passage.document for passage in every)
    not_asked: Counter[str] = Counter()
    kept: dict[str, Passage] = {}
    for passage in every:
        # Such text would become tokens of the template in the server, and end the turn in which it is quoted.
        if SPECIAL_TEXT.search(passage.context) or THINK_TAG.search(passage.context):
            not_asked["special_text"] += 1
        elif passage.key in kept:
            not_asked["same_passage"] += 1
        else:
            kept[passage.key] = passage
    passages = list(kept.values())
    if settings.limit is not None and settings.limit < len(passages):
        not_asked["limit"] += len(passages) - settings.limit
        drawn = set(sorted(kept, key=lambda key: _rank(settings.seed, key))[: settings.limit])
        passages = [passage for passage in passages if passage.key in drawn]
    return Plan(passages, dict(counts), split(passages, settings.held_out, settings.seed, every), not_asked)


def make(
    place: str, folder: Folder, planned: Plan, replies: Replies, settings: Settings, model: str, unanswered: int
) -> Made:
    """The rows.

    Args:
        place: the folder as it was named.
        folder: what was read.
        planned: what was asked about.
        replies: what was written.
        settings: as of `plan`.
        model: who wrote.
        unanswered: passages that the endpoint did not answer.
    """
    taking = _Taking(settings, planned.split, Judge(settings.style))
    for passage in planned.passages:
        reply = replies.by_passage.get(passage.key)
        if reply is not None:
            taking.take(passage, reply)
    rows = [*taking.train, *taking.held_out]
    report = DocumentsReport(
        folder=place,
        model=model,
        style=settings.style,
        with_passage=settings.with_passage,
        split_by=planned.split.by,
        copies=[list(group) for group in planned.split.copies],
        documents=[taking.counts(document, planned.counts.get(document.name, 0)) for document in folder.documents],
        unread=[UnreadFile(name=one.name, why=one.why) for one in folder.unread],
        not_asked=dict(planned.not_asked.most_common()),
        unanswered=unanswered,
        replies=dict(taking.replies.most_common()),
        rejected=dict(taking.faults.most_common()),
        kinds=dict(Counter(row["metadata"]["kind"] for row in rows).most_common()),
        languages=dict(Counter(row["metadata"]["language"] for row in rows).most_common()),
        question_characters=Spread.of(len(row["question"]) for row in rows) if rows else None,
        answer_characters=Spread.of(len(row["answer"]) for row in rows) if rows else None,
        rejected_samples=[sample for fault in taking.faults for sample in taking.rejected_samples[fault]],
    )
    return Made(taking.train, taking.held_out, taking.rejected, report)


@dataclass
class _Taking:
    """Takes the pairs of one passage after the other."""

    settings: Settings
    split: Split
    judge: Judge
    train: list[dict[str, Any]] = field(default_factory=list)
    held_out: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    rows: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """Rows by document and by whether they are held out."""
    rejected_samples: dict[str, list[SampleRow]] = field(default_factory=lambda: defaultdict(list))
    _samples: dict[str, list[tuple[str, SampleRow]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, passage: Passage, reply: Reply) -> None:
        """Judges what was written about a passage."""
        parsed = pairs_of(reply.content)
        self.answered[passage.document] += 1
        self.replies["unreadable" if reply.ended else "cut"] += parsed.unreadable
        self.replies["incomplete"] += parsed.incomplete
        self.replies["surplus"] += max(0, len(parsed.pairs) - self.settings.per_passage)
        self.replies["none_written"] += not (parsed.pairs or parsed.unreadable or parsed.incomplete)
        self.replies += Counter()  # reasons that counted nothing go
        spoken = self.settings.spoken(passage)
        for pair in parsed.pairs[: self.settings.per_passage]:
            self.pairs[passage.document] += 1
            verdict = self.judge.verdict(pair, passage, spoken)
            about = _metadata(passage, reply.model, spoken)
            if verdict.fault:
                self._leave(pair, passage, verdict, about)
            else:
                self._keep(pair, passage, {**about, "kind": "quoted" if verdict.quoted else "own_words"})

    def _leave(self, pair: Pair, passage: Passage, verdict: Verdict, about: Mapping[str, Any]) -> None:
        fault = str(verdict.fault)
        self.faults[fault] += 1
        self.rejected.append(
            {"reason": fault, "found": verdict.found, "question": pair.question, "answer": pair.answer,
             "passage": passage.text, "metadata": about}
        )  # fmt: skip
        if len(self.rejected_samples[fault]) < SAMPLES:
            self.rejected_samples[fault].append(_sample(pair, passage, fault, verdict.found))

    def _keep(self, pair: Pair, passage: Passage, about: Mapping[str, Any]) -> None:
        row_id = _code(f"{passage.key} {pair.question}")
        row: dict[str, Any] = {"id": row_id, "cluster": _code(passage.document)}
        if self.settings.with_passage:
            row["context"] = passage.context
        row |= {"question": pair.question, "answer": pair.answer, "metadata": about}
        held_out = self.split.holds(passage)
        (self.held_out if held_out else self.train).append(row)
        self.rows[passage.document, held_out] += 1
        self._samples[passage.document].append((row_id, _sample(pair, passage)))

    def counts(self, document: Document, passages: int) -> DocumentCounts:
        """What became of a document; its samples are drawn by their ids."""
        train, held_out = self.rows[document.name, False], self.rows[document.name, True]
        use: Use = "both" if train and held_out else "train" if train else "held_out" if held_out else "none"
        return DocumentCounts(
            name=document.name,
            kind=document.kind,
            characters=len(document.text),
            passages=passages,
            answered=self.answered[document.name],
            pairs=self.pairs[document.name],
            train=train,
            held_out=held_out,
            use=use,
            notes=list(document.notes),
            samples=[sample for _, sample in sorted(self._samples[document.name], key=_by_id)[:SAMPLES]],
        )


def _by_id(one: tuple[str, SampleRow]) -> str:
    return one[0]


def _metadata(passage: Passage, model: str, language: str) -> dict[str, Any]:
    """Where a pair comes from; `trainer.data.use` takes a column of this name for labels, whatever stands in it."""
    return {
        "document": passage.document,
        "heading": " > ".join(passage.headings),
        "model": model,
        "language": language,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
    }


def _sample(pair: Pair, passage: Passage, fault: str | None = None, found: str = "") -> SampleRow:
    place = " > ".join(passage.headings)
    return SampleRow(
        question=pair.question,
        answer=pair.answer,
        place=f"{place} · {passage.page}" if passage.page else place,
        passage=_cut(passage.text),
        fault=fault,
        found=found,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed} {key}".encode()).digest()


def _code(text: str) -> str:
    """A short name of a text, the same for everyone."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

"""Extractive question answering in SQuAD's layout: CMRC 2018 (simplified) and DRCD (traditional).

Read as published: `{"data": [{"paragraphs": [{"id", "context", "qas": [{"id", "question", "answers": [{"text"}]}]}]}]}`
(v1.1), CMRC's first layout (`context_text`, `query_text`, answers as strings), and a hub's flat rows (`id`, `context`,
`question`, `answers: {"text": [...]}`). Questions on one paragraph form a cluster. Questions without an answer (v2.0)
are unanswerable: the right answer is none, and the prompts of the whole task say how to give it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.tables import read_json, read_rows
from configs.tables.cells import kind_of, unpacked
from configs.tables.raw import is_blank
from eval.tasks import prompts
from eval.tasks.cells import refuse_lone_surrogates, required_text, text_of
from eval.tasks.source import find_table
from eval.tasks.task import Item, conversation

_LAYOUT = "expected SQuAD's layout: paragraphs with context and qas, or rows with context, question and answers"


@dataclass(frozen=True)
class _Question:
    name: str
    cluster: str
    context: str
    text: str
    answers: list[str]


def load(root: Path, system: str | None = None) -> list[Item]:
    """All questions of a file, or of the development or validation file of a folder.

    Raises:
        DataError: an entry is not in the layout; the message names it.
    """
    file = find_table(root, ("dev", "validation", "trial", "test"))
    value = read_json(file) if file.suffix.lower() == ".json" else read_rows(file)
    entries = value.get("data", [value]) if isinstance(value, Mapping) else value
    if not isinstance(entries, list):
        raise DataError(f"{file}: {kind_of(entries)} instead of a list of entries", _LAYOUT)
    found = [
        question for number, entry in enumerate(entries, 1) for question in _questions(entry, f"{file}, row {number}")
    ]
    may_lack = any(not question.answers for question in found)
    return [
        Item(
            question.name,
            conversation(prompts.extractive_qa(question.text, question.context, may_lack), system),
            question.answers or [""],
            cluster=question.cluster,
            source=question.context,
            detail={} if question.answers else prompts.UNANSWERABLE,
        )
        for question in found
    ]


def _questions(entry: Any, where: str) -> Iterator[_Question]:
    if not isinstance(entry, Mapping):
        raise DataError(f"{where} is {kind_of(entry)} instead of an object", _LAYOUT)
    refuse_lone_surrogates(entry)
    if "qas" not in entry and "paragraphs" not in entry:  # a hub's flat row
        context = required_text(entry, ("context", "context_text"), where)
        name = required_text(entry, ("id", "query_id"), where)
        yield _Question(
            name,
            _digest(context),
            context,
            required_text(entry, ("question", "query_text"), where),
            _answers(entry, where),
        )
        return
    for place, paragraph in enumerate(_listed(entry.get("paragraphs", [entry]), where, "paragraphs"), 1):
        at = f"{where}, paragraph {place}"
        context = required_text(paragraph, ("context", "context_text"), at)
        cluster = paragraph.get("id") or paragraph.get("context_id") or _digest(context)
        for number, question in enumerate(_listed(paragraph.get("qas"), at, "qas"), 1):
            here = f"{at}, question {number}"
            name = required_text(question, ("id", "query_id"), here)
            text = required_text(question, ("question", "query_text"), here)
            yield _Question(name, str(cluster), context, text, _answers(question, here))


def _listed(value: Any, where: str, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{where}: `{name}` is {kind_of(value)} instead of a list", _LAYOUT)
    return value


def _answers(row: Mapping[str, Any], where: str) -> list[str]:
    """The accepted answers; none where the question is marked as unanswerable."""
    if row.get("is_impossible") is True:
        return []
    answers = unpacked(row.get("answers"))
    texts = answers.get("text") if isinstance(answers, Mapping) else answers
    if not isinstance(texts, list):
        raise DataError(f"{where}: `answers` is {kind_of(answers)}", "write a list; an empty one for no answer")
    found = [answer.get("text") if isinstance(answer, Mapping) else answer for answer in texts]
    for answer in found:
        if is_blank(answer):
            raise DataError(f"{where}: an answer is {kind_of(answer)}", "take it out; an empty list means no answer")
    return [text_of(answer, f"{where}: an answer") for answer in found]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

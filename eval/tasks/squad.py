"""Extractive question answering in SQuAD's layout: CMRC 2018 (simplified) and DRCD (traditional).

Read as published: `{"data": [{"paragraphs": [{"id", "context", "qas": [{"id", "question", "answers": [{"text"}]}]}]}]}`
(v1.1), CMRC's first layout (`context_text`, `query_text`, answers as strings), and a hub's flat rows (`id`, `context`,
`question`, `answers: {"text": [...]}`). Questions on one paragraph form a cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.tables import read_json, read_rows
from eval.tasks import prompts
from eval.tasks.source import find_table
from eval.tasks.task import Item, conversation


def load(root: Path, system: str | None = None) -> list[Item]:
    """All questions of a file, or of the development or validation file of a folder."""
    file = find_table(root, ("dev", "validation", "trial", "test"))
    value = read_rows(file) if file.suffix in {".jsonl", ".parquet"} else read_json(file)
    entries = value["data"] if isinstance(value, dict) else value
    try:
        return [item for entry in entries for item in _questions(entry, system)]
    except (KeyError, TypeError) as error:
        raise DataError(f"{file}: not in SQuAD's layout ({type(error).__name__}: {error})", "check the file") from error


def _questions(entry: dict[str, Any], system: str | None) -> Iterator[Item]:
    if "qas" not in entry and "paragraphs" not in entry:  # a hub's flat row
        yield _item(
            entry["id"], _digest(entry["context"]), entry["context"], entry["question"], entry["answers"], system
        )
        return
    for paragraph in entry.get("paragraphs", [entry]):
        context = paragraph.get("context") or paragraph["context_text"]
        cluster = paragraph.get("id") or paragraph.get("context_id") or _digest(context)
        for question in paragraph["qas"]:
            name = question.get("id") or question["query_id"]
            text = question.get("question") or question["query_text"]
            yield _item(name, cluster, context, text, question["answers"], system)


def _item(name: str, cluster: str, context: str, question: str, answers: Any, system: str | None) -> Item:
    texts = answers["text"] if isinstance(answers, dict) else [a["text"] if isinstance(a, dict) else a for a in answers]
    messages = conversation(prompts.extractive_qa(question, context), system)
    return Item(str(name), messages, [str(text) for text in texts], cluster=str(cluster), source=context)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

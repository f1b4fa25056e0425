"""The evaluation of this repository."""

from __future__ import annotations

import tempfile
from pathlib import Path

from eval.ask.endpoint import Endpoint, Settings
from eval.ask.evaluate import evaluate
from eval.tasks.task import Item, Task, conversation
from scripts.bench.contestants.job import LETTERS, MAX_TOKENS, Job, contest


def ask(job: Job) -> list[float]:
    """Multiple choice restricted to the letters, one request an item; texts by ROUGE over characters and over words."""
    items = [
        Item(
            f"{number:06d}",
            conversation(row["prompt"]),
            [row["answer"]],
            choices=dict(zip(LETTERS, row["choices"], strict=True)) if job.work == "choice" else {},
            source=row.get("source", ""),
        )
        for number, row in enumerate(job.rows)
    ]
    kind, metric = ("choice", "accuracy") if job.work == "choice" else ("summary", "rougeL_word")
    task = Task(job.work, kind, items, max_tokens=MAX_TOKENS)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        result = evaluate(Endpoint(job.url, "mock"), [task], Path(folder), settings=Settings(concurrency=job.in_flight))
    samples = sorted(result[job.work].samples, key=lambda sample: sample.id)
    return [sample.scores[metric] for sample in samples]


if __name__ == "__main__":
    contest("tuneserve", {"choice": "accuracy", "text": "rougeL_word"}, ask)

"""EvalScope of ModelScope: `pip install evalscope`.

Multiple choice is its `general_mcq`, which asks for a letter in its own wording and reads it from the answer. Texts are
its `general_qa` with ROUGE over jieba's words; its BLEU needs a download of NLTK data, and is left out.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from scripts.bench.contestants.job import LETTERS, MAX_TOKENS, Job, contest

_TASKS: dict[str, tuple[str, str, str]] = {
    "choice": ("general_mcq", "rows_val.jsonl", "accuracy"),
    "text": ("general_qa", "rows.jsonl", "Rouge-L-F"),
}


def ask(job: Job) -> list[float]:
    """A whole task: data, requests, scores, its reports."""
    from evalscope import TaskConfig, run_task

    name, file, metric = _TASKS[job.work]
    with tempfile.TemporaryDirectory() as folder:
        lines = [json.dumps(_row(job, row), ensure_ascii=False) for row in job.rows]
        (Path(folder) / file).write_text("\n".join(lines), encoding="utf-8")
        settings: dict[str, Any] = {"local_path": folder, "subset_list": ["rows"]}
        if job.work == "text":
            settings["metric_list"] = ["Rouge"]
        out = Path(folder) / "out"
        run_task(
            TaskConfig(
                model="mock",
                api_url=job.url,
                eval_type="openai_api",
                datasets=[name],
                dataset_args={name: settings},
                eval_batch_size=job.in_flight,
                generation_config={"temperature": 0.0, "max_tokens": MAX_TOKENS},
                work_dir=str(out),
                no_timestamp=True,
            )
        )
        reviews = (out / "reviews" / "mock" / f"{name}_rows.jsonl").read_text(encoding="utf-8").splitlines()
    found = {review["index"]: review["sample_score"]["score"]["value"][metric] for review in map(json.loads, reviews)}
    return [found[number] for number in range(len(job.rows))]


def _row(job: Job, row: Any) -> dict[str, Any]:
    if job.work == "text":
        return {"messages": [{"role": "user", "content": row["prompt"]}], "answer": row["answer"]}
    return {"question": row["question"], "answer": row["answer"], **dict(zip(LETTERS, row["choices"], strict=True))}


if __name__ == "__main__":
    contest("evalscope", {"choice": "accuracy", "text": "ROUGE-L, words"}, ask)

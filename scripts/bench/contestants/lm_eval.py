"""EleutherAI's lm-evaluation-harness: `pip install lm_eval`.

Multiple choice is its `local-completions`: every letter scored by a completion that echoes the prompt. Texts are its
`local-chat-completions`, scored by exact match: it has no ROUGE of its own.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from scripts.bench.contestants.job import LETTERS, MAX_TOKENS, Job, contest

TOKENIZER = Path(__file__).parents[3] / "configs" / "demo" / "model"
_METRICS = {"choice": "acc", "text": "exact_match"}


def ask(job: Job) -> list[float]:
    """Its start, and what it collects about the machine, are counted only as far as `evaluate` does them."""
    import lm_eval
    from lm_eval.api.registry import get_model
    from lm_eval.api.task import ConfigurableTask

    settings: dict[str, Any] = {"model": "mock", "num_concurrent": job.in_flight, "tokenized_requests": False}
    if job.work == "choice":
        settings |= {"tokenizer": str(TOKENIZER), "tokenizer_backend": "huggingface", "max_length": 8192}
        model = get_model("local-completions")(base_url=f"{job.url}/completions", **settings)
    else:
        model = get_model("local-chat-completions")(base_url=f"{job.url}/chat/completions", **settings)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        rows = [{"prompt": row["prompt"], "answer": _answer(job, row)} for row in job.rows]
        file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
        task = ConfigurableTask(config={**_config(job), **_data(file)})
        found = lm_eval.evaluate(model, {job.work: task}, bootstrap_iters=0, apply_chat_template=job.work == "text")
    samples = sorted(found["samples"][job.work], key=lambda sample: sample["doc_id"])
    return [float(sample[_METRICS[job.work]]) for sample in samples]


def _answer(job: Job, row: Any) -> Any:
    return LETTERS.index(row["answer"]) if job.work == "choice" else row["answer"]


def _data(file: Path) -> dict[str, Any]:
    arguments = {"data_files": {"test": str(file)}, "cache_dir": str(file.parent)}
    return {"dataset_path": "json", "dataset_kwargs": arguments, "test_split": "test"}


def _config(job: Job) -> dict[str, Any]:
    common = {
        "task": job.work,
        "doc_to_text": "{{prompt}}",
        "target_delimiter": "",
        "metric_list": [{"metric": _METRICS[job.work]}],
    }
    if job.work == "choice":
        return {**common, "output_type": "multiple_choice", "doc_to_choice": list(LETTERS), "doc_to_target": "answer"}
    generation = {"until": [], "max_gen_toks": MAX_TOKENS, "do_sample": False, "temperature": 0.0}
    return {
        **common,
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": generation,
    }


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    logging.disable(logging.WARNING)
    contest("lm_eval", {"choice": "acc", "text": "exact_match"}, ask)

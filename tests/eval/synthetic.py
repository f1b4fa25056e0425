"""Builds `TaskResult`s from bare scores, for tests of what comes after scoring."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eval.ask.results import Sample, SampleError, TaskMeta, TaskResult

SETTINGS = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "seed": 0}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sample(
    number: int,
    scores: Mapping[str, float],
    *,
    cluster: str | None = None,
    answer: str = "北京",
    references: Sequence[str] = ("北京",),
    question: str | None = None,
    flags: Sequence[str] = (),
    finish_reason: str = "stop",
) -> Sample:
    text = question or f"第{number}题：中国的首都是哪里？"
    return Sample(
        id=f"q{number:05d}",
        cluster=cluster,
        prompt_sha256=sha(text),
        status="ok",
        error=None,
        prompt=[{"role": "user", "content": text}],
        references=list(references),
        raw=answer,
        reasoning=None,
        answer=answer,
        finish_reason=finish_reason,
        flags=list(flags),
        scores=dict(scores),
        usage={"prompt_tokens": 20, "completion_tokens": max(1, len(answer))},
        latency_s=0.1,
    )


def failed(ok: Sample) -> Sample:
    error = SampleError("timeout", "no answer within 300 s")
    return replace(ok, status="error", error=error, scores={}, answer="", raw=None, finish_reason=None, usage=None)


def result(name: str, samples: Sequence[Sample], **meta: Any) -> TaskResult:
    values: dict[str, Any] = {
        "task": name,
        "type": "choice",
        "role": "retention",
        "group": "knowledge",
        "primary": "accuracy",
        "metrics": ["accuracy"],
        "diagnostics": [],
        "chance": 0.0,
        "macro": False,
        "n": len(samples),
        "seed": 0,
        "settings": SETTINGS,
        "settings_sha256": sha(repr(meta.get("settings", SETTINGS))),
        "samples_sha256": sha("".join(s.prompt_sha256 for s in samples)),
        "thinking": False,
        "model": "Qwen3-4B",
        "base_url": "http://127.0.0.1:8000/v1",
        "method": "generate",
    } | meta
    return TaskResult(TaskMeta(**values), list(samples))


def scored(name: str, scores: Sequence[float], *, passage_of: int | None = None, **meta: Any) -> TaskResult:
    """A task whose samples have these scores; every `passage_of` samples in a row share a cluster."""
    metric = meta.get("primary", "accuracy")
    samples = [
        sample(
            i,
            {metric: float(score)},
            cluster=None if passage_of is None else f"p{i // passage_of}",
            question=f"第{i}题（{name}）：中国的首都是哪里？",
        )
        for i, score in enumerate(scores)
    ]
    return result(name, samples, **({"metrics": [metric]} | meta))


def flipped(n: int, right: int, lost: int, gained: int) -> tuple[np.ndarray, np.ndarray]:
    """Base with `right` of n right; tuned lost the first `lost` of them and gained `gained` others."""
    base = np.r_[np.ones(right), np.zeros(n - right)]
    tuned = base.copy()
    tuned[:lost] = 0
    tuned[right : right + gained] = 1
    return base, tuned


def pair(name: str, n: int, right: int, lost: int, gained: int, **meta: Any) -> tuple[TaskResult, TaskResult]:
    """Base and tuned results of one task with these flips."""
    base, tuned = flipped(n, right, lost, gained)
    model = {"model": "my-qwen", "base_url": "http://127.0.0.1:8001/v1"}
    return scored(name, base, **meta), scored(name, tuned, **(meta | model))


def sides(*pairs: tuple[TaskResult, TaskResult]) -> tuple[dict[str, TaskResult], dict[str, TaskResult]]:
    """The two mappings that `compare` takes."""
    return {b.meta.task: b for b, _ in pairs}, {t.meta.task: t for _, t in pairs}

"""Which model answered: a gateway may hand a question on to another one than it was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.disk.files import appended, whole
from eval.ask.results import Sample, SampleError, TaskResult, sample_line

_KEY = "answered_by"
"""In a sample's detail: the name that the answer came under, where that is not the one that was asked for."""
_LONGEST = 200


def answered_by(reply: Mapping[str, Any], asked: str) -> dict[str, str]:
    """What a sample's detail keeps of the name that an answer came under."""
    name = reply.get("model")
    name = whole(name)[:_LONGEST] if isinstance(name, str) else ""
    return {_KEY: name} if name not in ("", asked) else {}


def of_one_model(results: Mapping[str, TaskResult], folder: Path) -> dict[str, TaskResult]:
    """Results with errors in the place of answers that came under another name than most did.

    A gateway may have a longer name for what it was asked for, but the same one each time. The errors are written
    down, so that the same evaluation asks those questions again.
    """
    names = Counter(_name(sample, result) for result in results.values() for sample in _answered(result))
    if len(names) < 2:
        return dict(results)
    usual = names.most_common(1)[0][0]
    found = {}
    for task, result in results.items():
        samples = [
            _refused(one, _name(one, result), usual) if one.status == "ok" and _name(one, result) != usual else one
            for one in result.samples
        ]
        if refused := [new for new, old in zip(samples, result.samples, strict=True) if new is not old]:
            with appended(folder / f"{task}.jsonl") as lines:
                lines.write("".join(sample_line(one) + "\n" for one in refused))
        found[task] = replace(result, samples=samples)
    return found


def names_of(results: Mapping[str, TaskResult]) -> set[str]:
    """The names that answers came under."""
    return {_name(sample, result) for result in results.values() for sample in _answered(result)}


def _answered(result: TaskResult) -> list[Sample]:
    return [sample for sample in result.samples if sample.status == "ok"]


def _name(sample: Sample, result: TaskResult) -> str:
    return str(sample.detail.get(_KEY, result.meta.model))


def _refused(sample: Sample, name: str, usual: str) -> Sample:
    said = f"answered by {name}, and most others by {usual}"
    return replace(sample, status="error", error=SampleError("other_model", said), scores={}, answer="", flags=[])

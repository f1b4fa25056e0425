"""What an evaluation leaves on disk, and how it is read back.

A folder holds, per task, `<task>.meta.json` (what was asked, and how) and `<task>.jsonl` (one line a sample, appended
as it finishes). The order of the lines is the order of finishing: `read_results` sorts by sample id, so that an
evaluation that was killed and resumed reads like one that was not. Where an id stands twice, its last line counts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from configs.disk.files import (
    LONGEST_LINE,
    file_bytes,
    lines_of,
    only_a_file,
    parse_json,
    too_long_a_line,
    write_atomically,
)
from configs.errors import DataError
from configs.handover.base import as_dataclass

Status = Literal["ok", "error"]
_ELSEWHERE = "give another folder, or delete it and the task's answers, and evaluate again"


@dataclass(frozen=True)
class SampleError:
    """Why a sample has no answer: `kind` is a short class such as `timeout` or `http_500`. `class` on disk."""

    kind: str
    message: str


@dataclass(frozen=True)
class Sample:
    """One question, its answer, and its scores.

    `scores` are per item, quality measures in 0..1; empty for an error. `retries` counts failed attempts by class.
    `detail` is what a task adds: the subject of an exam question, the margin between the two best letters.
    """

    id: str
    cluster: str | None
    prompt_sha256: str
    status: Status
    error: SampleError | None
    prompt: Sequence[Mapping[str, Any]]
    references: Sequence[str]
    raw: str | None
    reasoning: str | None
    answer: str
    finish_reason: str | None
    flags: Sequence[str]
    scores: Mapping[str, float]
    usage: Mapping[str, int] | None
    latency_s: float
    retries: Mapping[str, int] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether it was answered, and nothing said: characters that show nothing are no answer."""
        shows = any(letter.isprintable() and not letter.isspace() for letter in self.answer)
        return self.status == "ok" and not shows


@dataclass(frozen=True)
class TaskMeta:
    """What was asked, and how. Two results compare only where task, settings, samples, thinking and method are equal.

    `metrics` are quality measures; `diagnostics` (copy rate, length ratio, ...) describe answers and have no better
    side. `chance` is the score of guessing. `macro` marks benchmarks whose official score is the mean of the means of
    their subjects (`detail["subject"]`). `scoring_sha256` names the rules of scoring, "" in files that do not say.
    """

    task: str
    type: str
    role: str
    group: str
    primary: str
    metrics: Sequence[str]
    diagnostics: Sequence[str]
    chance: float
    macro: bool
    n: int
    seed: int
    settings: Mapping[str, Any]
    settings_sha256: str
    samples_sha256: str
    thinking: bool | None
    model: str
    base_url: str
    method: str
    scoring_sha256: str = ""


@dataclass(frozen=True)
class TaskResult:
    """A task's samples, sorted by id."""

    meta: TaskMeta
    samples: Sequence[Sample]

    @property
    def complete(self) -> bool:
        """Whether every sample was answered or finally failed."""
        return len(self.samples) == self.meta.n

    @property
    def errors(self) -> Sequence[Sample]:
        """Samples without an answer."""
        return [sample for sample in self.samples if sample.status == "error"]

    @property
    def empty(self) -> Sequence[Sample]:
        """Samples whose answer is empty."""
        return [sample for sample in self.samples if sample.is_empty]

    def scores(self, metric: str | None = None) -> list[float]:
        """Per-item scores in the order of the ids, by default of the primary metric; a failed sample counts 0."""
        name = metric or self.meta.primary
        return [sample.scores.get(name, 0.0) for sample in self.samples]

    def mean(self, metric: str | None = None) -> float:
        """Mean score in 0..1; the mean of the subjects' means where the benchmark defines it so; 0 without samples."""
        scores = self.scores(metric)
        if not scores:
            return 0.0
        if not self.meta.macro:
            return sum(scores) / len(scores)
        subjects: dict[str, list[float]] = {}
        for sample, score in zip(self.samples, scores, strict=True):
            subjects.setdefault(str(sample.detail.get("subject")), []).append(score)
        return sum(sum(values) / len(values) for values in subjects.values()) / len(subjects)


def canonical_sha256(value: Any) -> str:
    """SHA-256 of a JSON value: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sample_line(sample: Sample) -> str:
    """A sample as one JSON line, without the line end."""
    row = {name: getattr(sample, name) for name in Sample.__dataclass_fields__}
    row["error"] = {"class": sample.error.kind, "message": sample.error.message} if sample.error else None
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def sample_from_row(row: dict[str, Any]) -> Sample:
    """The inverse of `sample_line` after JSON; raises `ValueError` on a row of another layout."""
    error = row.get("error")
    if isinstance(error, dict):
        error = {"kind" if name == "class" else name: value for name, value in error.items()}
    return as_dataclass(Sample, {**row, "error": error})


def drop_torn_line(path: Path) -> None:
    """Cuts an unfinished last line off a JSONL file: what a kill leaves behind.

    Raises:
        OSError: that line is longer than any of such a file, or it is a link, which may lead to anybody's.
    """
    with open(path, "rb+", opener=only_a_file) as handle:
        size = position = handle.seek(0, os.SEEK_END)
        end = 0
        while position and not end:
            if size - position > LONGEST_LINE:
                raise too_long_a_line(path)
            step = min(1 << 16, position)
            position -= step
            handle.seek(position)
            found = handle.read(step).rfind(b"\n")
            end = position + found + 1 if found >= 0 else 0
        if end != size:
            handle.truncate(end)


def read_samples(path: Path) -> dict[str, Sample]:
    """Samples by id; an unfinished last line is ignored, of repeated ids the last line counts.

    Raises:
        DataError: a finished line is not a sample.
    """
    samples: dict[str, Sample] = {}
    if not path.exists():
        return samples
    for number, line in enumerate(lines_of(path, torn=True), start=1):
        try:
            row = parse_json(line)
            if not isinstance(row, dict):
                raise ValueError(f"{str(row)[:60]!r} is no JSON object")
            sample = sample_from_row(row)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: not a sample of this evaluation ({error})",
                "delete the file to ask this task again",
            ) from error
        samples[sample.id] = sample
    return samples


def write_meta(meta: TaskMeta, path: Path) -> None:
    """Writes a task's meta file atomically."""
    write_atomically(path, json.dumps(asdict(meta), ensure_ascii=False, indent=1) + "\n")


def read_meta(path: Path) -> TaskMeta:
    """A task's meta file; raises `DataError` when it has another layout, or is that of another task."""
    try:
        meta = as_dataclass(TaskMeta, parse_json(file_bytes(path)))
    except ValueError as error:
        raise DataError(f"{path}: not a meta file of this version ({error})", _ELSEWHERE) from error
    if f"{meta.task}.meta.json" != path.name:
        # The task names the file of the answers, which must lie beside this one.
        raise DataError(f"{path}: the meta file of another task ({meta.task!r})", _ELSEWHERE)
    return meta


def read_results(folder: Path) -> dict[str, TaskResult]:
    """All tasks of an endpoint's folder by name, in the order of the names, samples sorted by id.

    Raises:
        DataError: the folder holds no evaluation, or a file in it is damaged.
    """
    metas = sorted(folder.glob("*.meta.json"))
    if not metas:
        raise DataError(f"{folder}: no evaluation in this folder", "run `tuneserve eval` first, or check the path")
    results = {}
    for path in metas:
        meta = read_meta(path)
        samples = read_samples(folder / f"{meta.task}.jsonl")
        results[meta.task] = TaskResult(meta, [samples[key] for key in sorted(samples)])
    return results

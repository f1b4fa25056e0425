"""Which recorded answers of a task still hold, when it is asked again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from configs.disk.files import aside, copy_over, write_atomically
from configs.errors import DataError
from eval.ask.results import Sample, TaskMeta, drop_torn_line, read_meta, read_samples, sample_line, write_meta
from eval.tasks.scoring import SCORING, scoring_sha256
from eval.tasks.task import Item, Task

_OF_THE_ANSWER = ("truncated_thinking", "truncated", "thinking_leak")
"""Flags that no scoring sets."""
_ASKED_ALIKE = ("type", "settings_sha256", "thinking", "model", "method", "primary", "metrics")


def kept(task: Task, meta: TaskMeta, prompts: Mapping[str, str], out_dir: Path) -> set[str]:
    """Ids whose recorded answers still hold. Writes the meta file, and sets aside lines that hold no longer."""
    meta_path, lines_path = out_dir / f"{meta.task}.meta.json", out_dir / f"{meta.task}.jsonl"
    before = read_meta(meta_path) if meta_path.exists() else None
    if not lines_path.exists():
        write_meta(meta, meta_path)
        return set()
    drop_torn_line(lines_path)
    samples = read_samples(lines_path)
    valid = before is not None and all(getattr(before, name) == getattr(meta, name) for name in _ASKED_ALIKE)
    same_items = before is not None and before.samples_sha256 == meta.samples_sha256
    references = {item.id: list(item.references) for item in task.items if same_items or not item.constraints}
    holding = [
        sample
        for sample in samples.values()
        if valid and sample.prompt_sha256 == prompts.get(sample.id) and sample.references == references.get(sample.id)
    ]
    current = same_items and before is not None and before.scoring_sha256 == meta.scoring_sha256
    if not current:
        items = {item.id: item for item in task.items}
        holding = [_scored_again(sample, items[sample.id], task) for sample in holding]
    if len(holding) < len(samples) or (holding and not current):
        # Readers take the file as it is, so nothing else may stay in it; the last generation is kept for the user.
        old = lines_path.with_suffix(".jsonl.old")
        copy_over(lines_path, old if _holds_answers(old) else aside(lines_path))
        write_atomically(lines_path, "".join(sample_line(sample) + "\n" for sample in holding))
    # Only now: a kill between the two must not leave old answers beside a meta file that they seem to belong to.
    write_meta(meta, meta_path)
    return {sample.id for sample in holding if sample.status == "ok"}


def _holds_answers(file: Path) -> bool:
    """Whether an evaluation may write over a file, or a link."""
    try:
        return file.is_symlink() or bool(read_samples(file))
    except (DataError, OSError):
        return False


def score_again(task: Task, out_dir: Path) -> None:
    """Brings a task's recorded scores to today's rules; its questions must be those that were asked."""
    path, lines = out_dir / f"{task.name}.meta.json", out_dir / f"{task.name}.jsonl"
    meta = read_meta(path)
    if meta.scoring_sha256 == scoring_sha256():
        return
    items = {item.id: item for item in task.items}
    samples = [_scored_again(sample, items[sample.id], task) for sample in read_samples(lines).values()]
    write_atomically(lines, "".join(sample_line(sample) + "\n" for sample in samples))
    write_meta(replace(meta, scoring_sha256=scoring_sha256()), path)


def _scored_again(sample: Sample, item: Item, task: Task) -> Sample:
    """An answer with the scores of today's rules, and with what its item says of it today, such as the cluster."""
    sample = replace(sample, cluster=item.cluster, detail={**sample.detail, **item.detail})
    if sample.status == "error":
        return sample
    found = SCORING[task.kind].score(item, sample.answer)
    flags = [*found.flags, *(flag for flag in sample.flags if flag in _OF_THE_ANSWER)]
    return replace(sample, scores=found.scores, flags=flags, detail={**sample.detail, **found.detail})

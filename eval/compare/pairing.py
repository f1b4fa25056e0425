"""Pairs the samples of two endpoints, and refuses to pair what was not asked the same way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from eval.ask.results import Sample, TaskMeta, TaskResult

ZERO_WHEN_MISSING = frozenset({"cmrc_em", "cmrc_f1"})
"""Metrics whose official script scores a missing prediction 0; with others a sample without an answer is left out."""

_SAME = ("type", "primary", "method", "thinking", "settings_sha256", "samples_sha256", "scoring_sha256")
_MEANING = {
    "type": "the kind of task",
    "primary": "the primary metric",
    "method": "the way of asking (generated text, or the choice's log-probability)",
    "thinking": "the thinking mode",
    "settings_sha256": "the generation settings",
    "samples_sha256": "the samples or their prompts",
    "scoring_sha256": "the rules of scoring, which change between versions,",
}


class MismatchError(ConfigError):
    """Two sets of results were not asked the same questions in the same way, so their scores cannot be compared."""


@dataclass(frozen=True)
class PairedTask:
    """The samples of one task, base and tuned side by side in the order of their ids."""

    base_result: TaskResult
    tuned_result: TaskResult
    base: tuple[Sample, ...]
    tuned: tuple[Sample, ...]

    @property
    def meta(self) -> TaskMeta:
        """What both have in common."""
        return self.tuned_result.meta

    def only(self, ids: Collection[str]) -> PairedTask:
        """The pairs with these ids."""
        kept = [(b, t) for b, t in zip(self.base, self.tuned, strict=True) if b.id in ids]
        return replace(self, base=tuple(b for b, _ in kept), tuned=tuple(t for _, t in kept))

    def scored(self, metric: str) -> list[tuple[Sample, Sample]]:
        """The pairs that `metric` can be compared on."""
        if metric in ZERO_WHEN_MISSING:
            return list(zip(self.base, self.tuned, strict=True))
        pairs = zip(self.base, self.tuned, strict=True)
        return [(b, t) for b, t in pairs if metric in b.scores and metric in t.scores]

    def scores(self, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Per-sample scores of base and tuned, each of shape (pairs,)."""
        pairs = self.scored(metric)
        return (
            np.array([b.scores.get(metric, 0.0) for b, _ in pairs], dtype=np.float64),
            np.array([t.scores.get(metric, 0.0) for _, t in pairs], dtype=np.float64),
        )

    def clusters(self, metric: str) -> list[str] | None:
        """One label a pair where samples share something; None where every sample stands alone."""
        return cluster_labels((b.prompt_sha256, b.cluster) for b, _ in self.scored(metric))


def cluster_labels(samples: Iterable[tuple[str, str | None]]) -> list[str] | None:
    """One label for each (prompt, cluster); None where every sample stands alone.

    Samples are alike in label that share a cluster or ask the very same: a question that stands in a file 700 times
    says no more than once. What is alike to one and the same third is alike.

    Args:
        samples: what names the prompt, and what the sample shares with others, if anything.
    """
    above: dict[str, str] = {}

    def top(label: str) -> str:
        while (higher := above.get(label)) is not None:
            above[label] = label = above.get(higher, higher)  # shorter for the next one
        return label

    prompts = []
    for prompt, cluster in samples:
        prompts.append(f"s:{prompt}")
        if cluster is not None and (first := top(f"c:{cluster}")) != (other := top(prompts[-1])):
            above[other] = first
    labels = [top(prompt) for prompt in prompts]
    return labels if len(set(labels)) < len(labels) else None


def pair_tasks(
    base: Mapping[str, TaskResult],
    tuned: Mapping[str, TaskResult],
    asked: Mapping[str, Collection[str]] | None = None,
) -> dict[str, PairedTask]:
    """Pair every task of two result sets, targets first.

    Args:
        asked: ids by task, where tuned was asked in blocks and only these count; None where everything does.

    Raises:
        MismatchError: when tasks, samples, prompts, settings, thinking mode or method differ, naming the difference.
    """
    if not base or not tuned:
        side = "base" if not base else "tuned"
        raise MismatchError(f"{side} has no results to compare", "evaluate both endpoints first")
    if base.keys() != tuned.keys():
        only_base, only_tuned = sorted(base.keys() - tuned.keys()), sorted(tuned.keys() - base.keys())
        raise MismatchError(
            f"base and tuned were asked different tasks: only base {only_base}, only tuned {only_tuned}",
            "ask both the same, or remove what one alone was asked: TASK.jsonl and TASK.meta.json in its folder",
        )
    order = sorted(base, key=lambda name: base[name].meta.role != "target")
    return {
        name: _pair(name, _only(base[name], asked[name]), _only(tuned[name], asked[name]))
        if asked is not None
        else _pair(name, base[name], tuned[name])
        for name in order
    }


def _only(result: TaskResult, ids: Collection[str]) -> TaskResult:
    """The samples with these ids, as if no others had been asked for."""
    return TaskResult(replace(result.meta, n=len(ids)), [sample for sample in result.samples if sample.id in ids])


def _pair(name: str, base: TaskResult, tuned: TaskResult) -> PairedTask:
    for key in _SAME:
        before, after = getattr(base.meta, key), getattr(tuned.meta, key)
        if before != after:
            raise MismatchError(
                f"task {name!r}: {_MEANING[key]} differs between base ({_shown(base.meta, tuned.meta, key)}) and tuned "
                f"({_shown(tuned.meta, base.meta, key)})",
                "evaluate both again with the same settings",
            )
    for side, result in (("base", base), ("tuned", tuned)):
        if not result.complete:
            raise MismatchError(
                f"task {name!r}: {side} has {len(result.samples)} of {result.meta.n} samples",
                "run the evaluation again: it asks only what is missing",
            )
    before_by_id, after_by_id = {s.id: s for s in base.samples}, {s.id: s for s in tuned.samples}
    if before_by_id.keys() != after_by_id.keys():
        odd = sorted(before_by_id.keys() ^ after_by_id.keys())
        raise MismatchError(
            f"task {name!r}: {len(odd)} samples are answered by one endpoint only, the first is {odd[0]!r}",
            "run the evaluation again: it asks only what is missing",
        )
    ids = sorted(before_by_id)
    for id_ in ids:
        if before_by_id[id_].prompt_sha256 != after_by_id[id_].prompt_sha256:
            raise MismatchError(
                f"task {name!r}: sample {id_!r} had another prompt in base than in tuned",
                "delete the older results and evaluate again",
            )
    if not ids:
        raise MismatchError(f"task {name!r} has no samples", "check the task's path and limit")
    return PairedTask(
        base_result=base,
        tuned_result=tuned,
        base=tuple(before_by_id[id_] for id_ in ids),
        tuned=tuple(after_by_id[id_] for id_ in ids),
    )


def _shown(meta: TaskMeta, other: TaskMeta, key: str) -> str:
    """The value seen; of the settings only those that differ."""
    if key == "settings_sha256":
        names = sorted(n for n in {**meta.settings, **other.settings} if meta.settings.get(n) != other.settings.get(n))
        return ", ".join(f"{name}={meta.settings.get(name, 'absent')}" for name in names)
    value = getattr(meta, key)
    return value[:12] if key.endswith("_sha256") else str(value)

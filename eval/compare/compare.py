"""Compares the answers of base and tuned: what was gained, what was forgotten, and how sure that is.

    comparison = compare(read_results(run / "eval/base"), read_results(run / "eval/tuned"), GateConfig())

Everything is paired by sample. Where samples share a passage every interval, test and power figure is clustered by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.schema import GateConfig
from eval.ask.results import TaskResult
from eval.compare.advice import advise
from eval.compare.baseline import require_baseline
from eval.compare.comparison import (
    Comparison,
    Diagnostic,
    Drift,
    Forgetting,
    GroupComparison,
    MetricChange,
    NoiseFloor,
    Retention,
    TaskComparison,
)
from eval.compare.flips import behaviour, largest_flips
from eval.compare.gate import decide
from eval.compare.judge import Judgement, weigh
from eval.compare.pairing import MismatchError, PairedTask, pair_tasks
from eval.statistics.change import Change, change_interval, measure_change
from eval.statistics.clustered import standard_error
from eval.statistics.forgetting import relative_forgetting_percent, retention_above_chance_percent, retention_percent
from eval.statistics.interval import one_sided
from eval.statistics.mean_of_tasks import mean_interval
from eval.statistics.p_values import holm
from eval.statistics.retention import retention_interval

Results = Mapping[str, TaskResult]
Scores = tuple[NDArray[np.float64], NDArray[np.float64], list[str] | None]


def compare(
    base: Results,
    tuned: Results,
    gate: GateConfig,
    *,
    base_repeat: Results | None = None,
    names: tuple[str, str] = ("base", "tuned"),
    facts: Mapping[str, Any] | None = None,
    drift: Drift | None = None,
    judgements: Sequence[Judgement] = (),
    max_flips: int = 50,
) -> Comparison:
    """Compare one tuned endpoint with its base.

    Args:
        base, tuned: results by task name.
        gate: margins, group size and confidence.
        base_repeat: a second run of the base, for the noise floor.
        names: of base and tuned in the report.
        facts: what the run knows beside its answers; see docs/report-schema.md.
        drift: on general text, where it was measured.
        judgements: of a third model, where one was asked.
        max_flips: changed answers kept for each task and direction, the largest changes first.

    Raises:
        MismatchError: when the two were not asked the same samples in the same way.
        DataError: the base answered nothing, so there is nothing to compare with.
    """
    name = names[1]
    return compare_several(
        base,
        {name: tuned},
        gate,
        base_repeat=base_repeat,
        base_name=names[0],
        facts={name: facts or {}},
        drift={name: drift} if drift else None,
        judgements={name: judgements},
        max_flips=max_flips,
    )[0]


def compare_several(
    base: Results,
    tunings: Mapping[str, Results],
    gate: GateConfig,
    *,
    base_repeat: Results | None = None,
    base_name: str = "base",
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    drift: Mapping[str, Drift] | None = None,
    judgements: Mapping[str, Sequence[Judgement]] | None = None,
    max_flips: int = 50,
) -> tuple[Comparison, ...]:
    """Compare several endpoints with one base; Holm's correction covers all tasks of all of them.

    Args are those of `compare`, with `tunings`, `facts`, `drift` and `judgements` by endpoint name.
    """
    require_baseline(base, base_name)
    noise = pair_tasks(base, base_repeat) if base_repeat is not None else {}
    paired = {name: pair_tasks(base, results) for name, results in tunings.items()}
    if noise and noise.keys() != base.keys():
        raise MismatchError("the repeated base was asked other tasks than the base", "evaluate the base twice")
    measured = {
        name: [_task(task, noise.get(task_name), gate, max_flips) for task_name, task in pairs.items()]
        for name, pairs in paired.items()
    }
    corrected = iter(holm([task.p for tasks in measured.values() for task in tasks]))
    comparisons = []
    for name, tasks in measured.items():
        final = tuple(replace(task, p_holm=next(corrected)) for task in tasks)
        groups = _groups(paired[name], noise, gate)
        known = dict((facts or {}).get(name, {}))
        any_pair = next(iter(paired[name].values()))
        comparisons.append(
            Comparison(
                base=base_name,
                tuned=name,
                base_model=any_pair.base_result.meta.model,
                tuned_model=any_pair.tuned_result.meta.model,
                confidence=gate.confidence,
                tasks=final,
                groups=groups,
                forgetting=_forgetting(final),
                gate=decide(final, groups, gate),
                advice=advise(final, known.get("recipe", {}), gate.confidence),
                drift=(drift or {}).get(name),
                judged=tuple(w for j in (judgements or {}).get(name, ()) if (w := weigh(j, gate.confidence))),
                facts=known,
            )
        )
    return tuple(comparisons)


def _task(pair: PairedTask, repeat: PairedTask | None, gate: GateConfig, max_flips: int) -> TaskComparison:
    meta, metric = pair.meta, pair.meta.primary
    before, after, clusters = _scores(pair, metric)
    change = measure_change(before, after, clusters)
    others = [name for name in meta.metrics if name != metric]
    return TaskComparison(
        name=meta.task,
        type=meta.type,
        role="target" if meta.role == "target" else "retention",
        group=meta.group,
        method=meta.method,
        metric=metric,
        thinking=meta.thinking,
        asked=len(pair.base),
        n=change.n,
        clusters=change.clusters,
        base_points=100 * change.base,
        tuned_points=100 * change.tuned,
        delta_points=100 * change.difference,
        standard_error_points=100 * change.standard_error,
        interval=change_interval(before, after, clusters, confidence=gate.confidence).scaled(100),
        one_sided=change_interval(before, after, clusters, confidence=one_sided(gate.confidence)).scaled(100),
        p=change.p,
        p_holm=change.p,
        test=change.test,
        minimum_detectable_drop_points=100 * change.minimum_detectable_drop,
        lost=change.lost,
        gained=change.gained,
        discordance_percent=100 * change.discordance,
        retention=_retention((before, after, clusters), meta.chance, gate),
        noise=_noise(_scores(repeat, metric), gate) if repeat else None,
        official_points=(100 * pair.base_result.mean(), 100 * pair.tuned_result.mean()) if meta.macro else None,
        other_metrics=tuple(_other(pair, name, gate) for name in others if len(pair.scored(name)) > 1),
        diagnostics=tuple(d for d in (_diagnostic(pair, name) for name in meta.diagnostics) if d is not None),
        base_behaviour=behaviour(pair.base, meta.method),
        tuned_behaviour=behaviour(pair.tuned, meta.method),
        flips=largest_flips(pair, metric, max_flips),
        samples_sha256=meta.samples_sha256,
        settings_sha256=meta.settings_sha256,
        settings=dict(meta.settings),
    )


def _scores(pair: PairedTask, metric: str) -> Scores:
    before, after = pair.scores(metric)
    if len(before) < 2:
        raise MismatchError(
            f"task {pair.meta.task!r}: only {len(before)} of {len(pair.base)} samples have {metric} on both sides",
            "look at the errors in the task's .jsonl files; two samples are the least that can be compared",
        )
    clusters = pair.clusters(metric)
    # One passage for everything leaves no independent unit to estimate an error from.
    if clusters is not None and len(set(clusters)) < 2:
        raise MismatchError(
            f"task {pair.meta.task!r}: all {len(before)} samples share one cluster, {clusters[0][2:]!r}",
            "add samples from other passages",
        )
    return before, after, clusters


def _other(pair: PairedTask, metric: str, gate: GateConfig) -> MetricChange:
    before, after, clusters = _scores(pair, metric)
    interval = change_interval(before, after, clusters, confidence=gate.confidence).scaled(100)
    base, tuned = 100 * float(before.mean()), 100 * float(after.mean())
    return MetricChange(metric, base, tuned, tuned - base, interval)


def _diagnostic(pair: PairedTask, name: str) -> Diagnostic | None:
    pairs = pair.scored(name)
    if not pairs:
        return None
    base, tuned = (float(np.mean([sample.scores[name] for sample in side])) for side in zip(*pairs, strict=True))
    return Diagnostic(name, base, tuned)


def _retention(scores: Scores, chance: float, gate: GateConfig) -> Retention:
    before, after, clusters = scores
    base, tuned = float(before.mean()), float(after.mean())
    interval = retention_interval(before, after, clusters, confidence=gate.confidence)
    above = retention_above_chance_percent(base, tuned, chance, standard_error(before, clusters))
    return Retention(
        percent=retention_percent(base, tuned),
        interval=interval.scaled(100) if interval else None,
        above_chance_percent=above if chance > 0 else None,
        chance_points=100 * chance,
        at_chance=above is None,
    )


def _noise(scores: Scores, gate: GateConfig) -> NoiseFloor:
    before, again, clusters = scores
    interval = change_interval(before, again, clusters, confidence=one_sided(gate.confidence)).scaled(100)
    return NoiseFloor(
        delta_points=100 * float((again - before).mean()),
        changed=int(np.count_nonzero(again != before)),
        n=len(before),
        floor_points=max(abs(interval.lower), abs(interval.upper)),
    )


def _pooled(pairs: Sequence[PairedTask]) -> Scores:
    """The primary scores of several tasks end to end; clusters of different tasks stay apart."""
    scores = [_scores(pair, pair.meta.primary) for pair in pairs]
    clusters = None
    if any(labels is not None for _, _, labels in scores):
        clusters = [
            f"{pair.meta.task}/{label}"
            for pair, (before, _, labels) in zip(pairs, scores, strict=True)
            for label in (labels if labels is not None else range(len(before)))
        ]
    return np.concatenate([s[0] for s in scores]), np.concatenate([s[1] for s in scores]), clusters


def _groups(
    pairs: Mapping[str, PairedTask], noise: Mapping[str, PairedTask], gate: GateConfig
) -> tuple[GroupComparison, ...]:
    members: dict[str, list[PairedTask]] = {}
    for pair in pairs.values():
        if pair.meta.role == "retention":
            members.setdefault(pair.meta.group, []).append(pair)
    return tuple(_group(name, group, noise, gate) for name, group in members.items())


def _group(
    name: str, pairs: Sequence[PairedTask], noise: Mapping[str, PairedTask], gate: GateConfig
) -> GroupComparison:
    before, after, clusters = scores = _pooled(pairs)
    change: Change = measure_change(before, after, clusters)
    # Items of tasks with different odds of guessing: the pooled chance is their average.
    chance = sum(pair.meta.chance * len(pair.scored(pair.meta.primary)) for pair in pairs) / len(before)
    repeats = [noise[pair.meta.task] for pair in pairs if pair.meta.task in noise]
    return GroupComparison(
        name=name,
        tasks=tuple(pair.meta.task for pair in pairs),
        n=change.n,
        clusters=change.clusters,
        base_points=100 * change.base,
        tuned_points=100 * change.tuned,
        delta_points=100 * change.difference,
        interval=change_interval(before, after, clusters, confidence=gate.confidence).scaled(100),
        one_sided=change_interval(before, after, clusters, confidence=one_sided(gate.confidence)).scaled(100),
        p=change.p,
        test=change.test,
        minimum_detectable_drop_points=100 * change.minimum_detectable_drop,
        discordance_percent=100 * change.discordance,
        retention=_retention(scores, chance, gate),
        noise=_noise(_pooled(repeats), gate) if repeats else None,
    )


def _forgetting(tasks: Sequence[TaskComparison]) -> Forgetting | None:
    kept = [task for task in tasks if task.role == "retention" and not task.retention.at_chance]
    if not kept:
        return None
    percents = [task.retention.percent for task in kept if task.retention.percent is not None]
    base, tuned = [task.base_points for task in kept], [task.tuned_points for task in kept]
    whole = len(percents) == len(kept)
    deltas = [task.delta_points for task in kept]
    return Forgetting(
        tasks=len(kept),
        retention_percent=retention_percent(sum(base), sum(tuned)),
        mean_retention_percent=sum(percents) / len(percents) if percents else None,
        relative_forgetting_percent=relative_forgetting_percent(base, tuned) if whole else None,
        backward_transfer_points=sum(deltas) / len(deltas),
        interval=mean_interval(deltas, [task.interval for task in kept]),
    )

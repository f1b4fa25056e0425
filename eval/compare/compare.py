"""Compares the answers of base and tuned: what was gained, what was forgotten, and how sure that is.

    comparison = compare(read_results(run / "eval/base"), read_results(run / "eval/tuned"), GateConfig())

Everything is paired by sample. Where samples share a passage every interval, test and power figure is clustered by it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.recipe.schema import GateConfig
from eval.ask.results import TaskMeta, TaskResult
from eval.compare.advice import advise
from eval.compare.baseline import require_baseline
from eval.compare.blocks import Blocks, Taken
from eval.compare.comparison import (
    Comparison,
    Diagnostic,
    Drift,
    Forgetting,
    Gate,
    GroupComparison,
    MetricChange,
    NoiseFloor,
    OwnAnswers,
    Retention,
    TaskComparison,
)
from eval.compare.flips import behaviour, largest_flips
from eval.compare.gate import Evidence, described_check, target_checks, verdict
from eval.compare.judge import Judgement, weigh
from eval.compare.looks import Looks
from eval.compare.own_answers import OwnAnswer, measure_own_answers, own_answers_check
from eval.compare.pairing import MismatchError, PairedTask, cluster_labels, pair_tasks
from eval.compare.reservations import remedy, reservations
from eval.statistics.change import Change, change_interval, measure_change
from eval.statistics.clustered import standard_error
from eval.statistics.forgetting import relative_forgetting_percent, retention_above_chance_percent, retention_percent
from eval.statistics.interval import Interval, one_sided
from eval.statistics.mean_of_tasks import mean_interval
from eval.statistics.p_values import holm
from eval.statistics.retention import retention_interval

SYSTEMATIC = 0.99
"""Confidence beyond which a difference of the base to itself is a shift and no chance."""
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
    looks: Sequence[Taken] = (),
    own_answers: Sequence[OwnAnswer] = (),
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
        looks: that were taken while tuned was asked, see `eval.compare.blocks`; none where it was asked all at once.
        own_answers: of the base to unseen questions, as likely as both find them.
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
        looks={name: looks},
        own_answers={name: own_answers},
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
    looks: Mapping[str, Sequence[Taken]] | None = None,
    own_answers: Mapping[str, Sequence[OwnAnswer]] | None = None,
    max_flips: int = 50,
) -> tuple[Comparison, ...]:
    """Compare several endpoints with one base; Holm's correction covers all tasks of all of them.

    Args are those of `compare`, with `tunings`, `facts`, `drift`, `judgements`, `looks` and `own_answers` by endpoint
    name.
    """
    require_baseline(base, base_name)
    noise = pair_tasks(base, base_repeat) if base_repeat is not None else {}
    blocks = Blocks(base, gate)
    taken = {name: list((looks or {}).get(name, ())) for name in tunings}
    paired = {
        name: pair_tasks(base, results, blocks.ids(taken[name][-1]) if taken[name] else None)
        for name, results in tunings.items()
    }
    if noise and noise.keys() != base.keys():
        raise MismatchError("the repeated base was asked other tasks than the base", "evaluate the base twice")
    pooled = {name: _Pooled(pairs, noise, gate, blocks, taken[name]) for name, pairs in paired.items()}
    measured = {
        name: [
            _task(task, noise.get(task_name), gate, pooled[name].levels(task.meta), max_flips)
            for task_name, task in pairs.items()
        ]
        for name, pairs in paired.items()
    }
    corrected = iter(holm([task.p for tasks in measured.values() for task in tasks]))
    comparisons = []
    for name, tasks in measured.items():
        final = tuple(replace(task, p_holm=next(corrected)) for task in tasks)
        known = dict((facts or {}).get(name, {}))
        any_pair = next(iter(paired[name].values()))
        groups = pooled[name].groups()
        own = measure_own_answers((own_answers or {}).get(name, ()), gate.confidence)
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
                gate=pooled[name].gate(final, groups, own),
                advice=advise(final, known.get("recipe", {}), gate.confidence),
                drift=(drift or {}).get(name),
                own_answers=own,
                judged=tuple(w for j in (judgements or {}).get(name, ()) if (w := weigh(j, gate.confidence))),
                facts=known,
            )
        )
    return tuple(comparisons)


def open_groups(
    base: Results, tuned: Results, gate: GateConfig, looks: Sequence[Taken], base_repeat: Results | None = None
) -> frozenset[str]:
    """Groups of which more items may decide something after these looks; none once the verdict stands."""
    blocks = Blocks(base, gate)
    noise = pair_tasks(base, base_repeat) if base_repeat is not None else {}
    return _Pooled(pair_tasks(base, tuned, blocks.ids(looks[-1])), noise, gate, blocks, looks).walk.open


def _task(
    pair: PairedTask, repeat: PairedTask | None, gate: GateConfig, levels: tuple[float, float], max_flips: int
) -> TaskComparison:
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
        interval=_interval((before, after, clusters), levels[1], gate.confidence),
        one_sided=_interval((before, after, clusters), levels[0], one_sided(gate.confidence)),
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
        other_metrics=tuple(_other(pair, name, gate) for name in others if pair.scored(name)),
        diagnostics=tuple(d for d in (_diagnostic(pair, name) for name in meta.diagnostics) if d is not None),
        base_behaviour=behaviour(pair.base, meta.method),
        tuned_behaviour=behaviour(pair.tuned, meta.method),
        flips=largest_flips(pair, metric, max_flips),
        samples_sha256=meta.samples_sha256,
        settings_sha256=meta.settings_sha256,
        settings=dict(meta.settings),
    )


def _interval(scores: Scores, level: float, confidence: float) -> Interval:
    """The interval in points; of what was looked at several times a repeated one, wider for the same confidence."""
    before, after, clusters = scores
    found = change_interval(before, after, clusters, confidence=level).scaled(100)
    repeated = abs(level - confidence) > 1e-6 and found.method != "none"
    return Interval(found.lower, found.upper, confidence, f"repeated_{found.method}" if repeated else found.method)


def _scores(pair: PairedTask, metric: str) -> Scores:
    before, after = pair.scores(metric)
    if not len(before):
        raise MismatchError(
            f"task {pair.meta.task!r}: none of {len(pair.base)} samples has {metric} on both sides",
            "look at the errors in the task's .jsonl files; evaluate again, which asks anew, or leave the task out",
        )
    return before, after, pair.clusters(metric)


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
    known = change_interval(before, after, clusters).method != "none"
    error = standard_error(before, clusters) if known else math.inf
    above = retention_above_chance_percent(base, tuned, chance, error)
    return Retention(
        percent=retention_percent(base, tuned),
        interval=interval.scaled(100) if interval else None,
        above_chance_percent=above if chance > 0 else None,
        chance_points=100 * chance,
        at_chance=above is None,
    )


def _noise(scores: Scores, gate: GateConfig) -> NoiseFloor:
    before, again, clusters = scores
    delta = 100 * float((again - before).mean())
    surely = change_interval(before, again, clusters, confidence=SYSTEMATIC)
    return NoiseFloor(
        delta_points=delta,
        interval=change_interval(before, again, clusters, confidence=gate.confidence).scaled(100),
        changed=int(np.count_nonzero(again != before)),
        n=len(before),
        shift_points=abs(delta) if surely.lower > 0 or surely.upper < 0 else 0.0,
    )


def _pooled(pairs: Sequence[PairedTask]) -> Scores:
    """The primary scores of several tasks end to end.

    Clusters of different tasks stay apart; a question that two of them ask is one, as in a task that asks it twice.
    """
    scores = [_scores(pair, pair.meta.primary) for pair in pairs]
    clusters = cluster_labels(
        (base.prompt_sha256, base.cluster and f"{pair.meta.task}/{base.cluster}")
        for pair in pairs
        for base, _ in pair.scored(pair.meta.primary)
    )
    return np.concatenate([s[0] for s in scores]), np.concatenate([s[1] for s in scores]), clusters


class _Pooled:
    """The retention tasks of one tuned endpoint, pooled by group, and the looks at those that are gated."""

    def __init__(
        self,
        pairs: Mapping[str, PairedTask],
        noise: Mapping[str, PairedTask],
        gate: GateConfig,
        blocks: Blocks,
        taken: Sequence[Taken],
    ) -> None:
        self._gate, self._blocks, self._taken = gate, blocks, taken
        self._members: dict[str, list[PairedTask]] = {}
        for pair in pairs.values():
            if pair.meta.role == "retention":
                self._members.setdefault(pair.meta.group, []).append(pair)
        self._noise = {
            name: _noise(_pooled(repeats), gate)
            for name, members in self._members.items()
            if (repeats := [noise[pair.meta.task] for pair in members if pair.meta.task in noise])
        }
        self.walk = self._looked().walk()

    def _looked(self) -> Looks:
        """All looks."""
        looks = Looks(self._blocks.whole, self._gate)
        rounds: list[Mapping[str, Collection[str]] | None] = [self._blocks.ids(look) for look in self._taken]
        for ids in rounds or [None]:
            looks.look({name: self._evidence(name, ids) for name in self._blocks.whole})
        return looks

    def _evidence(self, name: str, ids: Mapping[str, Collection[str]] | None) -> Evidence:
        members = self._members[name]
        if ids is not None:
            members = [pair.only(ids[pair.meta.task]) for pair in members]
        shift = self._noise[name].shift_points if name in self._noise else 0.0
        scores = _pooled(members)
        # What has no score on both sides is no item; of those that were not asked yet as many are taken to have none.
        scored = len(scores[0]) / max(1, sum(len(pair.base) for pair in members))
        whole = None if ids is None else round(scored * self._blocks.whole.get(name, 0))
        return Evidence(name, *scores, shift_points=shift, whole=whole)

    def levels(self, meta: TaskMeta) -> tuple[float, float]:
        """Two-sided confidences of the one-sided bounds and of the interval of a task, or of a group by its name."""
        return self._levels(meta.group if meta.role == "retention" else "")

    def _levels(self, group: str) -> tuple[float, float]:
        nominal = one_sided(self._gate.confidence), self._gate.confidence
        if group not in self.walk.one_sided:
            return nominal
        return self.walk.one_sided[group], self.walk.two_sided[group]

    def groups(self) -> tuple[GroupComparison, ...]:
        """Every group, as far as it was asked."""
        return tuple(
            _group(name, members, self._noise.get(name), self._gate, self._levels(name))
            for name, members in self._members.items()
        )

    def gate(self, tasks: Sequence[TaskComparison], groups: Sequence[GroupComparison], own: OwnAnswers | None) -> Gate:
        """The verdict, from the looks, from what is described only, and from the targets."""
        config, level = self._gate, one_sided(self._gate.confidence)
        checks = list(self.walk.checks)
        for name in self._members:
            if name not in self._blocks.whole:
                group = self._evidence(name, None)
                checks.append(described_check(group, config, group.bounds(level), self._blocks.guessed.get(name)))
        checks += target_checks([task for task in tasks if task.role == "target"], config)
        checks += [own_answers_check(own, config)] if own else []
        state, reasons = verdict(checks, config)
        taken = [replace(look, at=taken.at) for look, taken in zip(self.walk.looks, self._taken, strict=False)]
        return Gate(
            verdict=state,
            reasons=tuple(reasons),
            reservations=reservations(tasks, groups, config) if state == "pass" else (),
            checks=tuple(checks),
            looks=tuple(taken),
            remedy=remedy(checks, config) if state == "not_enough_evidence" else None,
            whole_items=sum(self._blocks.whole.values()),
            margin_points=config.margin_points,
            mean_margin_points=config.mean_margin_points,
            min_items=config.min_items,
            confidence=config.confidence,
            power=config.power,
        )


def _group(
    name: str, pairs: Sequence[PairedTask], noise: NoiseFloor | None, gate: GateConfig, levels: tuple[float, float]
) -> GroupComparison:
    before, after, clusters = scores = _pooled(pairs)
    change: Change = measure_change(before, after, clusters)
    # Items of tasks with different odds of guessing: the pooled chance is their average.
    chance = sum(pair.meta.chance * len(pair.scored(pair.meta.primary)) for pair in pairs) / len(before)
    return GroupComparison(
        name=name,
        tasks=tuple(pair.meta.task for pair in pairs),
        n=change.n,
        clusters=change.clusters,
        base_points=100 * change.base,
        tuned_points=100 * change.tuned,
        delta_points=100 * change.difference,
        interval=_interval((before, after, clusters), levels[1], gate.confidence),
        one_sided=_interval((before, after, clusters), levels[0], one_sided(gate.confidence)),
        p=change.p,
        test=change.test,
        minimum_detectable_drop_points=100 * change.minimum_detectable_drop,
        discordance_percent=100 * change.discordance,
        retention=_retention(scores, chance, gate),
        noise=noise,
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

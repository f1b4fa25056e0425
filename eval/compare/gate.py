"""The gate: three-state non-inferiority of tuned against base.

- A pooled group of retention tasks fails when the one-sided upper bound of its difference is under -margin, passes when
  the lower bound is above it; otherwise there is not enough evidence. Groups under `min_items` are described only: so
  few samples could not pass, and the report says so.
- A group whose base scores no better than guessing is described only: it had nothing to lose.
- The mean over the gated groups, of two or more, follows the same rule. Its margin is the groups' over the root of
  their number, which takes as many items as a group takes, and never under `mean_margin_points`.
- Bounds of groups that were asked in blocks are those of repeated intervals: see `eval.compare.looks`.
- Target tasks must not fall: one fails when its fall is significant after Holm's correction over the targets. It passes
  when the lower bound is above 0, or when it did not fall and a fall beyond the margin is excluded.
- What a server does otherwise from one answer to the next is in the paired interval already, since every answer is one
  draw. A base that was asked twice can show more: a shift in one direction. Bounds are moved by such a shift.

The whole fails with any failed check, and passes only when something was gated and all of it passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.recipe.schema import GateConfig
from eval.compare.comparison import GateCheck, Sentence, State, TaskComparison
from eval.statistics.change import change_interval
from eval.statistics.clustered import Clusters
from eval.statistics.interval import Interval
from eval.statistics.mean_of_tasks import mean_interval
from eval.statistics.p_values import holm


@dataclass(frozen=True)
class Evidence:
    """A pooled group as far as it was asked; scores are fractions, one an item.

    Attributes:
        before, after: of base and tuned, shapes (n,). clusters: what items share, if anything.
        shift_points: by which the base differs from itself systematically, 0 where it does not or was not asked twice.
        whole: items that there are of the group; None where these are all.
    """

    name: str
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    clusters: Clusters | None = None
    shift_points: float = 0.0
    whole: int | None = None

    @property
    def n(self) -> int:
        """Items."""
        return len(self.before)

    @property
    def left(self) -> float:
        """By how much the squared standard error shrinks with everything that there is: 1 where it was asked."""
        return self.n / max(self.n, self.whole or 0)

    @property
    def delta_points(self) -> float:
        """Tuned minus base."""
        return 100 * float((self.after - self.before).mean())

    def bounds(self, confidence: float) -> Interval:
        """Interval of the difference in points, two-sided."""
        return change_interval(self.before, self.after, self.clusters, confidence=confidence).scaled(100)


def non_inferiority(lower: float, upper: float, margin: float, shift: float = 0.0) -> State:
    """The three-state rule on one-sided bounds of tuned minus base, moved by a shift of the base against itself.

    All in one unit, points or nats.

    Example: bounds (-1.5, 0.5) pass a margin of 2, (-4, -2.5) fail it, (-3, 0) leave it open; beside a shift of 1 the
    first and the second are open, too.
    """
    if upper + shift < -margin:
        return "fail"
    return "pass" if lower - shift > -margin else "not_enough_evidence"


def mean_margin(config: GateConfig, groups: int) -> float:
    """What the mean over so many groups may lose, in points.

    Example: of three groups that may lose 2 each, 2 / sqrt(3) = 1.15: the mean of three is known that much better.
    """
    return max(config.mean_margin_points, config.margin_points / math.sqrt(groups))


def group_check(group: Evidence, bounds: Interval, config: GateConfig) -> GateCheck:
    """A group that is large enough, on the one-sided bounds given."""
    margin, shift = config.margin_points, group.shift_points
    state = non_inferiority(bounds.lower, bounds.upper, margin, shift)
    shifted = state != non_inferiority(bounds.lower, bounds.upper, margin)
    key = "gate.shift" if shifted else f"gate.group.{state}"
    return _check("group", group.name, state, group.n, group.delta_points, bounds, margin, shift, key, {})


def described_check(
    group: Evidence, config: GateConfig, bounds: Interval, chance: tuple[float, float] | None
) -> GateCheck:
    """A group that decides nothing.

    Args:
        chance: base score and score of guessing in points, where nothing can fail; None for a small group.
    """
    margin, shift = config.margin_points, group.shift_points
    values: dict[str, object] = {"min_items": config.min_items}
    if chance is not None and bounds.method == "none":
        key = "gate.group.one_unit"
    elif chance is not None:
        key = "gate.group.at_chance"
        values |= {"scored": chance[0], "chance": chance[1]}
    else:
        fell = non_inferiority(bounds.lower, bounds.upper, margin, shift) == "fail"
        key = "gate.group.described.fell" if fell else "gate.group.described"
    return _check("group", group.name, "described", group.n, group.delta_points, bounds, margin, shift, key, values)


def mean_bounds(groups: Sequence[Evidence], confidence: float) -> Interval:
    """Interval of the mean over groups, two-sided, in points."""
    return mean_interval([group.delta_points for group in groups], [group.bounds(confidence) for group in groups])


def mean_check(groups: Sequence[Evidence], bounds: Interval, config: GateConfig) -> GateCheck:
    """The mean over two or more gated groups, on the one-sided bounds given."""
    margin = mean_margin(config, len(groups))
    shift = sum(group.shift_points for group in groups) / len(groups)
    state = non_inferiority(bounds.lower, bounds.upper, margin, shift)
    shifted = state != non_inferiority(bounds.lower, bounds.upper, margin)
    key = "gate.shift.mean" if shifted else f"gate.mean.{state}"
    delta = sum(group.delta_points for group in groups) / len(groups)
    n = sum(group.n for group in groups)
    return _check("mean", "mean", state, n, delta, bounds, margin, shift, key, {"groups": len(groups)})


def target_checks(targets: Sequence[TaskComparison], config: GateConfig) -> list[GateCheck]:
    """Every target, the falls corrected by Holm's method over all of them."""
    fell = [task.p / 2 if task.delta_points < 0 else 1 - task.p / 2 for task in targets]
    return [_target(task, p, len(targets), config) for task, p in zip(targets, holm(fell), strict=True)]


def _target(task: TaskComparison, p_fell: float, targets: int, config: GateConfig) -> GateCheck:
    bounds, margin = task.one_sided, config.margin_points
    shift = task.noise.shift_points if task.noise else 0.0
    stayed = task.delta_points >= 0 and bounds.lower - shift > -margin
    state: State = "not_enough_evidence"
    key = "gate.target.not_enough_evidence"
    if p_fell < 1 - config.confidence and bounds.upper + shift < 0:
        state = "fail"
    elif bounds.lower - shift > 0 or stayed:
        state = "pass"
    elif bounds.upper < 0 and p_fell >= 1 - config.confidence and targets > 1:
        key = "gate.target.corrected"
    elif shift and (bounds.upper < 0 or (task.delta_points >= 0 and bounds.lower > -margin)):
        key = "gate.target.shift"
    key = key if state == "not_enough_evidence" else f"gate.target.{state}"
    values = {"targets": targets, "margin": margin}
    return _check("target", task.name, state, task.n, task.delta_points, bounds, 0.0, shift, key, values)


def _check(
    kind: str,
    name: str,
    state: State,
    n: int,
    delta: float,
    bounds: Interval,
    margin: float,
    shift: float,
    key: str,
    values: Mapping[str, object],
) -> GateCheck:
    seen = {"name": name, "n": n, "margin": margin, "delta": delta, "lower": bounds.lower, "upper": bounds.upper}
    return GateCheck(
        kind=kind,  # type: ignore[arg-type]
        name=name,
        state=state,
        n=n,
        delta_points=delta,
        lower_points=bounds.lower,
        upper_points=bounds.upper,
        margin_points=margin,
        shift_points=shift,
        reason=Sentence(key, {**seen, "shift": shift, **values}),
    )


def verdict(checks: Sequence[GateCheck], config: GateConfig) -> tuple[State, list[Sentence]]:
    """What all checks together say, and why."""
    failed = [check.reason for check in checks if check.state == "fail"]
    undecided = [check.reason for check in checks if check.state == "not_enough_evidence"]
    gated_groups = [check for check in checks if check.kind == "group" and check.state != "described"]
    guessing = [check.reason for check in checks if check.reason.key in ("gate.group.at_chance", "gate.group.one_unit")]
    if not gated_groups and guessing:
        undecided = [*guessing, *undecided]
    elif not gated_groups:
        largest = max((check.n for check in checks if check.kind == "group"), default=0)
        key = "gate.nothing_gated" if largest else "gate.no_retention"
        undecided.insert(0, Sentence(key, {"min_items": config.min_items, "largest": largest}))
    # Too few to be gated, but a fall that the bound itself proves is no ground for a pass.
    undecided += [check.reason for check in checks if check.reason.key == "gate.group.described.fell"]
    if failed:
        return "fail", failed + undecided
    if undecided:
        return "not_enough_evidence", undecided
    return "pass", [check.reason for check in checks if check.state == "pass"]

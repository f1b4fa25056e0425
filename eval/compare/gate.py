"""The gate: three-state non-inferiority of tuned against base.

- A pooled group of retention tasks fails when the one-sided upper bound of its difference is under -margin, passes when
  the lower bound is above it; otherwise there is not enough evidence. Groups under `min_items` are described only: so
  few samples could not pass, and the report says so.
- A group whose base scores no better than guessing is described only: it had nothing to lose.
- The mean over the gated groups' tasks follows the same rule with a margin of its own.
- A target task must not fall: it fails when the upper bound is under 0, or under the noise floor where that was
  measured. It passes when the lower bound is above 0, or when it did not fall, a fall beyond the margin is excluded,
  and the floor is within the margin.
- A margin under the noise floor of the base against itself cannot be passed, for it would gate on noise; a loss beyond
  the floor as well is still a failure.

The whole fails with any failed check, and passes only when something was gated and all of it passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from configs.schema import GateConfig
from eval.compare.comparison import Gate, GateCheck, GroupComparison, NoiseFloor, Sentence, State, TaskComparison
from eval.statistics.interval import Interval, one_sided
from eval.statistics.mean_of_tasks import mean_interval


def non_inferiority(lower_points: float, upper_points: float, margin_points: float) -> State:
    """The three-state rule on one-sided bounds of tuned minus base.

    Example: bounds (-1.5, 0.5) pass a margin of 2, (-4, -2.5) fail it, (-3, 0) leave it open.
    """
    if upper_points < -margin_points:
        return "fail"
    return "pass" if lower_points > -margin_points else "not_enough_evidence"


def state_within(bounds: Interval, margin_points: float, noise_points: float | None) -> tuple[State, bool]:
    """The rule against the larger of margin and noise floor, and whether the floor was the larger: then nothing passes.

    Example: bounds (-1.5, 0.5) and a margin of 2 pass; beside a floor of 3 they leave it open; (-21, -16) fail both.
    """
    if noise_points is None or margin_points >= noise_points:
        return non_inferiority(bounds.lower, bounds.upper, margin_points), False
    fell = bounds.upper < -noise_points
    return ("fail" if fell else "not_enough_evidence"), True


def decide(tasks: Sequence[TaskComparison], groups: Sequence[GroupComparison], config: GateConfig) -> Gate:
    """Check every group, the mean and every target, and draw the verdict from them."""
    checks = [_group(group, config) for group in groups]
    gated = {name for group in groups if group.n >= config.min_items for name in group.tasks}
    averaged = [t for t in tasks if t.role == "retention" and t.name in gated and not t.retention.at_chance]
    if averaged:
        checks.append(_mean(averaged, config))
    checks += [_target(task, config) for task in tasks if task.role == "target"]
    verdict, reasons = _verdict(checks, config)
    return Gate(
        verdict=verdict,
        reasons=tuple(reasons),
        checks=tuple(checks),
        margin_points=config.margin_points,
        mean_margin_points=config.mean_margin_points,
        min_items=config.min_items,
        confidence=config.confidence,
    )


def mean_noise(tasks: Sequence[TaskComparison], confidence: float) -> float | None:
    """Noise floor of the mean over tasks, in points; None unless it was measured for all of them."""
    floors = [task.noise for task in tasks if task.noise is not None]
    if not floors or len(floors) < len(tasks):
        return None
    level = one_sided(confidence)
    bounds = [
        Interval(floor.delta_points - _reach(floor), floor.delta_points + _reach(floor), level, "noise")
        for floor in floors
    ]
    interval = mean_interval([floor.delta_points for floor in floors], bounds)
    return max(abs(interval.lower), abs(interval.upper))


def _reach(floor: NoiseFloor) -> float:
    return floor.floor_points - abs(floor.delta_points)


def _group(group: GroupComparison, config: GateConfig) -> GateCheck:
    margin, bounds = config.margin_points, group.one_sided
    noise = group.noise.floor_points if group.noise else None
    values = {"name": group.name, "n": group.n, "min_items": config.min_items, "margin": margin}
    state, noisy = state_within(bounds, margin, noise)
    if group.retention.at_chance:
        state, key = "described", "gate.group.at_chance"
        values |= {"scored": group.base_points, "chance": group.retention.chance_points}
    elif group.n < config.min_items:
        key = "gate.group.described.fell" if state == "fail" else "gate.group.described"
        state = "described"
    else:
        key = "gate.noise" if noisy and state != "fail" else f"gate.group.{state}"
    return _check("group", group.name, state, group.n, group.delta_points, bounds, margin, noise, key, values)


def _mean(tasks: Sequence[TaskComparison], config: GateConfig) -> GateCheck:
    margin = config.mean_margin_points
    delta = sum(task.delta_points for task in tasks) / len(tasks)
    bounds = mean_interval([task.delta_points for task in tasks], [task.one_sided for task in tasks])
    noise = mean_noise(tasks, config.confidence)
    state, noisy = state_within(bounds, margin, noise)
    key = "gate.noise.mean" if noisy and state != "fail" else f"gate.mean.{state}"
    values = {"tasks": len(tasks), "margin": margin}
    return _check("mean", "mean", state, sum(t.n for t in tasks), delta, bounds, margin, noise, key, values)


def _target(task: TaskComparison, config: GateConfig) -> GateCheck:
    bounds, margin = task.one_sided, config.margin_points
    noise = task.noise.floor_points if task.noise else None
    floor = noise or 0.0
    stayed = task.delta_points >= 0 and bounds.lower > -margin
    state: State = "not_enough_evidence"
    if bounds.upper < -floor:
        state = "fail"
    elif bounds.lower > 0 or (stayed and floor <= margin):
        state = "pass"
    values = {"name": task.name, "n": task.n, "margin": margin}
    # Without the floor it would have been decided.
    noisy = state == "not_enough_evidence" and (stayed or bounds.upper < 0)
    key = "gate.target.noise" if noisy else f"gate.target.{state}"
    return _check("target", task.name, state, task.n, task.delta_points, bounds, 0.0, noise, key, values)


def _check(
    kind: str,
    name: str,
    state: State,
    n: int,
    delta: float,
    bounds: Interval,
    margin: float,
    noise: float | None,
    key: str,
    values: Mapping[str, object],
) -> GateCheck:
    seen = {"delta": delta, "lower": bounds.lower, "upper": bounds.upper, "noise": noise}
    return GateCheck(
        kind=kind,  # type: ignore[arg-type]
        name=name,
        state=state,
        n=n,
        delta_points=delta,
        lower_points=bounds.lower,
        upper_points=bounds.upper,
        margin_points=margin,
        noise_floor_points=noise,
        reason=Sentence(key, {**values, **seen}),
    )


def _verdict(checks: Sequence[GateCheck], config: GateConfig) -> tuple[State, list[Sentence]]:
    failed = [check.reason for check in checks if check.state == "fail"]
    undecided = [check.reason for check in checks if check.state == "not_enough_evidence"]
    gated_groups = [check for check in checks if check.kind == "group" and check.state != "described"]
    guessing = [check.reason for check in checks if check.reason.key == "gate.group.at_chance"]
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

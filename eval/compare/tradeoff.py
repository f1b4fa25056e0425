"""Learning against forgetting over several runs: one point a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.compare.comparison import Comparison, State
from eval.statistics.interval import Interval
from eval.statistics.mean_of_tasks import mean_interval


@dataclass(frozen=True)
class RunPoint:
    """One run in the learning-forgetting picture, in points.

    Attributes:
        name: of the tuned endpoint.
        gained: mean change of the target tasks; gained_interval: of it.
        kept: mean change of the retention tasks (under 0: forgotten); kept_interval: of it.
        verdict: of the run's gate; reserved: whether something speaks against a run that passed.
        best: no other run gained more and kept more.
    """

    name: str
    gained: float
    gained_interval: Interval
    kept: float
    kept_interval: Interval
    verdict: State
    reserved: bool
    best: bool


def tradeoff(comparisons: Sequence[Comparison]) -> tuple[RunPoint, ...]:
    """Points of the runs that have both target and retention tasks, in the order given."""
    means = []
    for comparison in comparisons:
        if comparison.targets and comparison.forgetting is not None:
            deltas = [task.delta_points for task in comparison.targets]
            gained = sum(deltas) / len(deltas)
            interval = mean_interval(deltas, [task.interval for task in comparison.targets])
            means.append((comparison, gained, interval, comparison.forgetting))
    return tuple(
        RunPoint(
            name=comparison.tuned,
            gained=gained,
            gained_interval=interval,
            kept=forgetting.backward_transfer_points,
            kept_interval=forgetting.interval,
            verdict=comparison.gate.verdict,
            reserved=bool(comparison.gate.reservations),
            best=not any(
                other >= gained
                and their.backward_transfer_points >= forgetting.backward_transfer_points
                and (other, their.backward_transfer_points) != (gained, forgetting.backward_transfer_points)
                for _, other, _, their in means
            ),
        )
        for comparison, gained, interval, forgetting in means
    )

"""The gate on data that grow: looked at after every block, and asked no further once the verdict stands.

Each check, every group and their mean, has its own error to spend, in the shares of `eval.statistics.spending`, on each
side: on passing what lost the margin, and on failing what did not. So the bound for failing is non-binding: who goes on
after a failure lets no more through. A check that passed at a look has passed; its bounds are those of that look.

How far a check is, is told by its information, one over its squared standard error, as a share of what passes an
unchanged model with the probability `power`. Items that change little carry more of it, and fewer are asked. What is
open then is near the margin; it is asked on, with the error that was kept for it, until nothing is left to ask.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scipy import special

from configs.recipe.schema import GateConfig
from eval.compare.comparison import GateCheck, Look
from eval.compare.gate import Evidence, group_check, mean_bounds, mean_check, mean_margin
from eval.compare.planned import planned_information
from eval.statistics.interval import Interval, one_sided, two_sided_z
from eval.statistics.mean_of_tasks import mean_interval
from eval.statistics.spending import FARTHEST_Z, Spending


@dataclass(frozen=True)
class Walk:
    """All looks so far.

    Attributes:
        looks: what was seen at each.
        checks: of the groups, and of their mean where there are two or more, as they stand.
        one_sided, two_sided: by group, the two-sided confidence of the bounds that hold one by one over all looks at
            the gate's confidence, and of the interval that does.
        open: groups of which more items may decide something; empty once the verdict stands.
    """

    looks: tuple[Look, ...]
    checks: tuple[GateCheck, ...]
    one_sided: Mapping[str, float]
    two_sided: Mapping[str, float]
    open: frozenset[str]


def confidence_of(z: float) -> float:
    """Two-sided confidence of bounds at this z."""
    return float(1 - 2 * special.ndtr(-z))


class _Monitor:
    """One check over its looks."""

    def __init__(self, config: GateConfig) -> None:
        self._planned = planned_information(config)
        self._one_sided, self._two_sided = Spending(1 - config.confidence), Spending((1 - config.confidence) / 2)
        self._interval = FARTHEST_Z
        self.check: GateCheck | None = None
        self.over = False
        """Whether everything that there is has been looked at."""

    @property
    def state(self) -> str:
        """Of the check; open before the first look."""
        return self.check.state if self.check else "not_enough_evidence"

    def look(self, size: float, left: float, nominal: Interval, margin_points: float) -> float:
        """The two-sided confidence whose bounds this look may use.

        Args:
            size: items by now.
            left: what the squared standard error is multiplied by once everything was asked; 1 at the end.
            nominal: the interval at the gate's own confidence. margin_points: of this check.
        """
        error = (nominal.upper - nominal.lower) / (2 * two_sided_z(nominal.confidence))
        self.information = (margin_points / error) ** 2 / self._planned if error else math.inf
        self.over = left >= 1
        share, most = (1.0, 1.0) if math.isinf(self.information) else (self.information, self.information / left)
        self._interval = self._two_sided.look(share, size, most)
        return confidence_of(self._one_sided.look(share, size, most))

    def grown(self, size: float) -> bool:
        """Whether this is more than at the last look."""
        return size > self._one_sided.size

    def settle(self, check: GateCheck, number: int) -> None:
        """Takes what a look found; what has been decided stays."""
        if self.state == "not_enough_evidence":
            self.check = replace(check, look=number, information=self.information, all_asked=self.over)

    def interval(self) -> float:
        """The two-sided confidence of the repeated interval at the last look."""
        return confidence_of(self._interval)


class Looks:
    """The gated groups, look by look."""

    def __init__(self, groups: Iterable[str], config: GateConfig) -> None:
        """Args: the gated groups."""
        self._config = config
        self._monitors = {name: _Monitor(config) for name in groups}
        self._mean = _Monitor(config)
        self._one_sided: dict[str, float] = {}
        self.taken: list[Look] = []

    def look(self, groups: Mapping[str, Evidence]) -> Look:
        """Looks at every gated group as far as it has been asked by now."""
        number, level, config = len(self.taken) + 1, one_sided(self._config.confidence), self._config
        nominal = {name: group.bounds(level) for name, group in groups.items()}
        for name, group in groups.items():
            monitor = self._monitors[name]
            if monitor.grown(group.n):
                confidence = monitor.look(group.n, group.left, nominal[name], config.margin_points)
                self._one_sided[name] = confidence
                monitor.settle(group_check(group, group.bounds(confidence), config), number)
        several = list(groups.values())
        # The variance of a mean goes by the harmonic mean of the sizes.
        size = 1 / sum(1 / group.n for group in several) if several else 0.0
        if len(several) > 1 and self._mean.grown(size):
            intervals, margin = list(nominal.values()), mean_margin(config, len(several))
            mean = mean_interval([group.delta_points for group in several], intervals)
            confidence = self._mean.look(size, _left(several, intervals), mean, margin)
            self._mean.settle(mean_check(several, mean_bounds(several, confidence), config), number)
        checks = tuple(m.check for m in (*self._monitors.values(), self._mean) if m.check)
        self.taken.append(Look(number, {name: group.n for name, group in groups.items()}, checks))
        return self.taken[-1]

    @property
    def open(self) -> frozenset[str]:
        """Groups to ask more of: those that are undecided, and all while their mean is.

        None once a check failed, all passed, or everything was asked of one that did not pass.
        """
        if not self.taken:
            return frozenset(self._monitors)
        checked = [*self._monitors.values(), *([self._mean] if self._mean.check else [])]
        if any(one.state == "fail" or (one.state != "pass" and one.over) for one in checked):
            return frozenset()
        mean_is_open = self._mean.check is not None and self._mean.state != "pass"
        return frozenset(
            name for name, one in self._monitors.items() if not one.over and (mean_is_open or one.state != "pass")
        )

    def walk(self) -> Walk:
        """All looks so far, and what they allow to be said."""
        return Walk(
            looks=tuple(self.taken),
            checks=self.taken[-1].checks if self.taken else (),
            one_sided=dict(self._one_sided),
            two_sided={name: monitor.interval() for name, monitor in self._monitors.items() if monitor.check},
            open=self.open,
        )


def _left(groups: Sequence[Evidence], intervals: Sequence[Interval]) -> float:
    """What the squared standard error of the mean over groups is multiplied by once everything was asked."""
    widths = [(interval.upper - interval.lower) ** 2 for interval in intervals]
    whole = sum(width * group.left for width, group in zip(widths, groups, strict=True))
    return whole / sum(widths) if any(widths) else 1.0

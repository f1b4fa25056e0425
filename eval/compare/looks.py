"""The gate on data that grow: looked at after every block, and asked no further once the verdict stands.

Each check, every group and their mean, has its own error to spend, in the shares of `eval.statistics.spending`, on each
side: on passing what lost the margin, and on failing what did not. So the bound for failing is non-binding: who goes on
after a failure lets no more through. A check that passed at a look has passed; its bounds are those of that look.

How far a check is, is told by its information, one over its squared standard error, as a share of what passes an
unchanged model with the probability `power`. Items that change little carry more of it, and fewer are asked. With its
share at 1 a check has spent its error: what is open then stays open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from scipy import special

from configs.schema import GateConfig
from eval.compare.comparison import GateCheck, Look
from eval.compare.gate import Evidence, group_check, mean_bounds, mean_check, mean_margin
from eval.compare.planned import planned_information
from eval.statistics.interval import Interval, one_sided, two_sided_z
from eval.statistics.spending import Spending, bounds


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

    def __init__(self, config: GateConfig, least: float) -> None:
        self._planned = planned_information(config) * max(1.0, least)
        self.spending = Spending(1 - config.confidence)
        self.check: GateCheck | None = None
        self.information = 0.0
        self.overrun = False

    @property
    def share(self) -> float:
        """Of the planned information."""
        return self.spending.looks[-1][0] if self.spending.looks else 0.0

    @property
    def state(self) -> str:
        """Of the check; open before the first look."""
        return self.check.state if self.check else "not_enough_evidence"

    def look(self, size: float, nominal: Interval, margin_points: float, config: GateConfig, last: bool) -> float:
        """The two-sided confidence whose bounds this look may use, from an interval at the gate's own."""
        error = (nominal.upper - nominal.lower) / (2 * two_sided_z(nominal.confidence))
        found = (margin_points / error) ** 2
        self.information = found / planned_information(config)
        share = 1.0 if last else min(1.0, found / self._planned)
        return confidence_of(self.spending.look(max(share, self.share), size))

    def grown(self, size: float) -> bool:
        """Whether this is more than at the last look, of a check for which that can matter."""
        if not self.spending.looks or size <= self.spending.looks[-1][1]:
            return not self.spending.looks
        over = self.share >= 1
        self.overrun |= over and self.state == "not_enough_evidence"
        return not over or self.overrun

    def settle(self, check: GateCheck, number: int) -> None:
        """Takes what a look found; what has been decided stays."""
        if self.state == "not_enough_evidence":
            self.check = replace(check, look=number, information=self.information)

    def interval(self) -> float:
        """The two-sided confidence of the repeated interval at the last look."""
        shares, sizes = zip(*self.spending.looks, strict=True)
        return confidence_of(bounds(shares, sizes, self.spending.alpha / 2)[-1])


class Looks:
    """The gated groups, look by look."""

    def __init__(self, groups: Iterable[str], config: GateConfig, overrun: Mapping[str, float] | None = None) -> None:
        """Args: the gated groups; and what `overrun` said of the same looks when they were gone through before."""
        known = overrun or {}
        self._config = config
        self._monitors = {name: _Monitor(config, known.get(name, 0.0)) for name in groups}
        self._mean = _Monitor(config, known.get("mean", 0.0))
        self._one_sided: dict[str, float] = {}
        self.taken: list[Look] = []

    def look(self, groups: Mapping[str, Evidence]) -> Look:
        """Looks at every gated group as far as it has been asked by now."""
        number, level, config = len(self.taken) + 1, one_sided(self._config.confidence), self._config
        for name, group in groups.items():
            monitor = self._monitors[name]
            if monitor.grown(group.n):
                confidence = monitor.look(group.n, group.bounds(level), config.margin_points, config, group.complete)
                self._one_sided[name] = confidence
                monitor.settle(group_check(group, group.bounds(confidence), config), number)
        several = list(groups.values())
        # The variance of a mean goes by the harmonic mean of the sizes.
        size = 1 / sum(1 / group.n for group in several) if several else 0.0
        if len(several) > 1 and self._mean.grown(size):
            last = all(monitor.share >= 1 for monitor in self._monitors.values())
            margin = mean_margin(config, len(several))
            confidence = self._mean.look(size, mean_bounds(several, level), margin, config, last)
            self._mean.settle(mean_check(several, mean_bounds(several, confidence), config), number)
        checks = tuple(m.check for m in (*self._monitors.values(), self._mean) if m.check)
        self.taken.append(Look(number, {name: group.n for name, group in groups.items()}, checks))
        return self.taken[-1]

    @property
    def open(self) -> frozenset[str]:
        """Groups to ask more of: none once a check failed, all passed, or one can pass no longer."""
        if not self.taken:
            return frozenset(self._monitors)
        checked = [*self._monitors.values(), *([self._mean] if self._mean.check else [])]
        if any(one.state == "fail" for one in checked) or all(one.state == "pass" for one in checked):
            return frozenset()
        if any(one.state != "pass" and one.share >= 1 for one in checked):
            return frozenset()
        return frozenset(name for name, monitor in self._monitors.items() if monitor.share < 1)

    @property
    def overrun(self) -> dict[str, float]:
        """Of open checks that were looked at beyond the planned information: what there is, as a share of it.

        That happens where looks were taken for another margin. A check that spent its error can say nothing more, so
        the looks are gone through again with the error spent over all of them.
        """
        checks = {**self._monitors, "mean": self._mean}
        return {name: monitor.information for name, monitor in checks.items() if monitor.overrun}

    def walk(self) -> Walk:
        """All looks so far, and what they allow to be said."""
        return Walk(
            looks=tuple(self.taken),
            checks=self.taken[-1].checks if self.taken else (),
            one_sided=dict(self._one_sided),
            two_sided={name: monitor.interval() for name, monitor in self._monitors.items() if monitor.spending.looks},
            open=self.open,
        )

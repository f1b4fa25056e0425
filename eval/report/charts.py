"""Geometry of the pictures: where things stand, in percent of the drawing's width and height.

Percent, so that the page can draw them at any width with text that stays readable on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eval.compare.comparison import GroupComparison, State, TaskComparison
from eval.compare.tradeoff import RunPoint

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 25, 50)


@dataclass(frozen=True)
class Axis:
    """A range in points that holds all values and zero, with round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> float:
        """Where a value stands between the ends, clipped to them."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 3)


def axis(values: Sequence[float], most_ticks: int = 7) -> Axis:
    """An axis for these values."""
    low, high = min(0.0, *values), max(0.0, *values)
    if high - low < 1:
        low, high = low - 0.5, high + 0.5
    spread = high - low
    step = next((s for s in _STEPS if spread / s <= most_ticks - 1), 50.0)
    low, high = low - 0.06 * spread, high + 0.06 * spread
    first, last = math.ceil(low / step), math.floor(high / step)
    return Axis(low, high, tuple(round(step * number, 6) for number in range(first, last + 1)))


@dataclass(frozen=True)
class ForestRow:
    """One task or group: its change with the interval. `tone` is gain, loss or flat; `pooled` marks groups."""

    item: TaskComparison | GroupComparison
    pooled: bool
    tone: str
    dot: float
    left: float
    right: float


@dataclass(frozen=True)
class Forest:
    """Rows under one axis; `margin` is where the allowed loss ends, if it is drawn."""

    rows: tuple[ForestRow, ...]
    ticks: tuple[tuple[float, float], ...]
    zero: float
    margin: float | None


def forest(items: Sequence[TaskComparison | GroupComparison], margin_points: float | None = None) -> Forest | None:
    """The picture of these changes; None without any."""
    if not items:
        return None
    values = [bound for item in items for bound in (item.interval.lower, item.interval.upper)]
    scale = axis([*values, *([-1.5 * margin_points] if margin_points else [])])
    return Forest(
        rows=tuple(
            ForestRow(
                item=item,
                pooled=isinstance(item, GroupComparison),
                tone=tone(item.interval.lower, item.interval.upper),
                dot=scale.percent(item.delta_points),
                left=scale.percent(item.interval.lower),
                right=scale.percent(item.interval.upper),
            )
            for item in items
        ),
        ticks=tuple((scale.percent(tick), tick) for tick in scale.ticks),
        zero=scale.percent(0),
        margin=scale.percent(-margin_points) if margin_points else None,
    )


def tone(lower: float, upper: float) -> str:
    """`gain` above zero, `loss` below it, `flat` where the interval holds zero."""
    if lower > 0:
        return "gain"
    return "loss" if upper < 0 else "flat"


@dataclass(frozen=True)
class ScaleDot:
    """One scale of an adapter: its place; `taken` marks the one that counts, `kept` those within every limit."""

    label: str
    x: float
    y: float
    taken: bool
    kept: bool


@dataclass(frozen=True)
class ScaleCurve:
    """Scales by the gain that they keep (to the right) and by what they leave alone (upwards), from the base on."""

    dots: tuple[ScaleDot, ...]
    x_ticks: tuple[tuple[float, float], ...]
    y_ticks: tuple[tuple[float, float], ...]
    x_limit: float
    y_limit: float


def scale_curve(places: Sequence[tuple[str, float, float, bool, bool]], limits: tuple[float, float]) -> ScaleCurve:
    """The curve of the scales.

    Args:
        places: label, gain kept and change elsewhere in percent, taken, kept; the base first, at (0, 0).
        limits: least gain and largest change.
    """
    across = axis([limits[0], *(gain for _, gain, *_ in places)])
    upwards = axis([limits[1], *(change for _, _, change, *_ in places)], most_ticks=6)
    return ScaleCurve(
        dots=tuple(
            ScaleDot(label, across.percent(gain), round(100 - upwards.percent(change), 3), taken, kept)
            for label, gain, change, taken, kept in places
        ),
        x_ticks=tuple((across.percent(tick), tick) for tick in across.ticks),
        y_ticks=tuple((round(100 - upwards.percent(tick), 3), tick) for tick in upwards.ticks),
        x_limit=across.percent(limits[0]),
        y_limit=round(100 - upwards.percent(limits[1]), 3),
    )


@dataclass(frozen=True)
class ScatterDot:
    """One run: its place, and the ends of its intervals."""

    number: int
    name: str
    verdict: State
    best: bool
    x: float
    y: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float


@dataclass(frozen=True)
class Scatter:
    """Runs by gain (to the right) and by what they kept (upwards)."""

    dots: tuple[ScatterDot, ...]
    x_ticks: tuple[tuple[float, float], ...]
    y_ticks: tuple[tuple[float, float], ...]
    x_zero: float
    y_zero: float


def scatter(points: Sequence[RunPoint]) -> Scatter | None:
    """The learning-forgetting picture; None for fewer than two runs."""
    if len(points) < 2:
        return None
    across = axis([bound for p in points for bound in (p.gained_interval.lower, p.gained_interval.upper)])
    upwards = axis([bound for p in points for bound in (p.kept_interval.lower, p.kept_interval.upper)])

    def height(value: float) -> float:
        return round(100 - upwards.percent(value), 3)

    return Scatter(
        dots=tuple(
            ScatterDot(
                number=number,
                name=point.name,
                verdict=point.verdict,
                best=point.best,
                x=across.percent(point.gained),
                y=height(point.kept),
                x_low=across.percent(point.gained_interval.lower),
                x_high=across.percent(point.gained_interval.upper),
                y_low=height(point.kept_interval.lower),
                y_high=height(point.kept_interval.upper),
            )
            for number, point in enumerate(points, start=1)
        ),
        x_ticks=tuple((across.percent(tick), tick) for tick in across.ticks),
        y_ticks=tuple((height(tick), tick) for tick in upwards.ticks),
        x_zero=across.percent(0),
        y_zero=height(0),
    )

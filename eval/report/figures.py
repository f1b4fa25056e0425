"""How numbers are written, the same way in every report."""

from __future__ import annotations

from eval.statistics.interval import Interval

MISSING = "–"


def points(value: float | None) -> str:
    """A score in points: `61.2`."""
    return MISSING if value is None else f"{_no_minus_zero(value, 1):.1f}"


def signed(value: float | None) -> str:
    """A difference: `+1.5`, `-0.3`, `0.0`."""
    if value is None:
        return MISSING
    rounded = _no_minus_zero(value, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def margin(value: float) -> str:
    """A margin: `2`, `1.15`, `0.1`."""
    return f"{round(value, 2):g}"


def nats(value: float) -> str:
    """A change of log-likelihood per token: `-0.0312`."""
    return f"{value:+.4f}"


def percent(value: float | None) -> str:
    """A percentage: `97.5 %`."""
    return MISSING if value is None else f"{_no_minus_zero(value, 1):.1f} %"


def bounds(interval: Interval | None, *, sign: bool = True) -> str:
    """An interval: `[-2.6, -0.3]`."""
    if interval is None:
        return MISSING
    write = signed if sign else points
    return f"[{write(interval.lower)}, {write(interval.upper)}]"


def p_value(p: float) -> str:
    """A p-value: `0.017`, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def small(value: float, *, sign: bool = False) -> str:
    """A figure without a natural unit, three significant digits: `0.0123`."""
    return f"{value:+.3g}" if sign and value else f"{value:.3g}"


def confidence(level: float) -> str:
    """A confidence level: `95 %`."""
    return f"{100 * level:g} %"


def _no_minus_zero(value: float, digits: int) -> float:
    return round(value, digits) + 0.0

"""A confidence interval, and the quantiles that intervals are made with."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval.

    Attributes:
        lower: lower bound, in the unit of the estimate.
        upper: upper bound.
        confidence: coverage, e.g. 0.95.
        method: how it was made, e.g. `tango` or `clustered_t`.
    """

    lower: float
    upper: float
    confidence: float
    method: str

    def scaled(self, factor: float) -> Interval:
        """The same interval in another unit, e.g. 100 for percent points."""
        return Interval(self.lower * factor, self.upper * factor, self.confidence, self.method)


def two_sided_z(confidence: float) -> float:
    """The normal quantile of a two-sided interval: 0.95 gives 1.959964."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return float(special.ndtri(0.5 + confidence / 2))


def two_sided_t(confidence: float, degrees_of_freedom: float) -> float:
    """Student's quantile of a two-sided interval."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return float(special.stdtrit(degrees_of_freedom, 0.5 + confidence / 2))


def one_sided(confidence: float) -> float:
    """The two-sided confidence whose bounds are one-sided bounds at `confidence`: 0.95 gives 0.90."""
    return 2 * confidence - 1

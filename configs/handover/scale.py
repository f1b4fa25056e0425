"""How much of an adapter is kept, and what was measured at each scale."""

from __future__ import annotations

from typing import Literal

from pydantic import computed_field

from configs.handover.base import HandedOver

ScaleLimit = Literal["gain", "drift", "short"]
"""What a scale may fall short of: the held-out gain, the likelihood of general answers, or their length."""


class ScalePoint(HandedOver):
    """What the adapter learned and what it changed elsewhere where it counts `scale` times as much."""

    scale: float
    """How much it counts."""
    gain: float
    """How much likelier held-out answers became than under the base, in nats a token."""
    gain_share: float
    """The same as a share of the largest gain of all scales."""
    accuracy: float
    """Share of the held-out answers' tokens that the model would have chosen itself."""
    accuracy_share: float
    """What it gained over the base's as a share of the largest such gain; 1 where that is too small to tell."""
    drift: float
    """How much less likely the base's own answers to unseen general questions became, in nats a token."""
    short_share: float
    """Share of unseen general questions whose answer suddenly ended early, less the base's own share."""
    beyond: list[ScaleLimit]
    """Limits that it does not keep; empty for one that may be taken."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kept(self) -> float:
        """Share of the gain that is kept: the smaller one of likelihood and accuracy."""
        return min(self.gain_share, self.accuracy_share)


class MeasuredScale(HandedOver):
    """RUN/scales/SCALE.json: what a served model gave while the adapter counted `scale` times as much."""

    scale: float
    """How much it counted; 0 is the base."""
    heldout: list[float]
    """Log-likelihood of each held-out answer in nats, summed over its tokens."""
    chosen: list[int]
    """Tokens of each held-out answer that the model would have chosen itself."""
    general: list[float]
    """The same for each of the base's own answers to unseen general questions."""
    early: list[bool]
    """For each question whose answer's length is compared: whether it ended within a quarter of the base's tokens."""


class ScaleFacts(HandedOver):
    """How much the adapter counts, and why: what `merge.scale: auto` chose from."""

    scale: float
    """The scale that was chosen."""
    points: list[ScalePoint]
    """All scales that were served, in rising order."""
    least_kept: float
    """Smallest share of the gain that was allowed."""
    most_drift: float
    """Largest drift that was allowed, in nats a token."""
    most_short_share: float
    """Largest share of suddenly short answers that was allowed."""
    heldout_rows: int
    """Held-out answers that the gain was measured on."""
    general_rows: int
    """Answers of the base to unseen questions that the drift was measured on."""
    length_rows: int
    """Of these, those whose length was compared: the longer half."""
    base_accuracy: float
    """Share of the held-out answers' tokens that the base would have chosen itself."""
    base_short_share: float
    """Share of early ends of the base itself, asked in the same way."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def satisfied(self) -> bool:
        """Whether the chosen scale keeps every limit."""
        return any(point.scale == self.scale and not point.beyond for point in self.points)

    @property
    def keeps_gain(self) -> bool:
        """Whether the chosen scale keeps the gain, whatever it loses."""
        return any(point.scale == self.scale and "gain" not in point.beyond for point in self.points)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def learned(self) -> bool:
        """Whether held-out answers became likelier at all, so that there was something to weigh."""
        return any(point.gain > 0 for point in self.points)

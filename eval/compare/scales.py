"""How much of an adapter to take: as much as leaves the base's general answers alone, by numbers that need no labels.

The gain is how much likelier held-out answers became, and how many more of their tokens the model would choose itself:
the likelihood tells small changes apart, but rises long before the right token comes first. What it costs elsewhere is
seen on the base's own answers to general questions that were never trained: how much less likely they became (drift),
and how many answers suddenly end early, which is the habit that training on short answers leaves behind. The gate's
tasks have no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from configs.handover.scale import MeasuredScale, ScaleFacts, ScaleLimit, ScalePoint

LEAST_KEPT = 0.95
"""Share of the largest gain that the chosen scale must keep, in likelihood and in accuracy."""
LEAST_ACCURACY_GAIN = 0.02
"""Below this gain in accuracy its shares are noise, and the likelihood alone tells."""
MOST_DRIFT = 0.02
"""Nats a token by which the base's own answers may become less likely. Five runs that lost 27 to 34 points on word
problems drifted by 0.032 to 0.045, five that lost 2 at most by -0.039 to -0.035 (docs/results.md)."""
MOST_SHORT_SHARE = 0.05
"""Share of the general answers, beyond the base's own, that may end suddenly early: two or three of fifty, which chance
makes of them. In the runs that lost word problems it was 24 to 44 %, in the others -2 to 4 %."""
EARLY = 4
"""An answer ends early where it is complete within the base's tokens divided by this."""


def compared_lengths(tokens: Sequence[int]) -> dict[int, int]:
    """Which general answers are compared in length, and the most tokens of an answer that is suddenly short.

    Compared is the longer half: the answers of the median length and more, where a short one is no matter of taste.

    Args:
        tokens: length of each of the base's own answers.

    Returns:
        Index of the answer to that limit, in the order of the answers.
    """
    middle = median(tokens)
    return {index: max(1, count // EARLY) for index, count in enumerate(tokens) if count >= middle}


def choose(
    measured: Sequence[MeasuredScale], base: MeasuredScale, heldout_tokens: Sequence[int], general_tokens: Sequence[int]
) -> ScaleFacts:
    """The largest scale that keeps every limit, with the figures of all.

    Where none does, it is the smallest that keeps the gain: what was to be learned is learned, and less forgetting is
    not to be had at that price; where none keeps it, the one that keeps most. Where the gain itself is nothing, nothing
    can be weighed, and the adapter counts whole.

    Args:
        measured: the scales.
        base: the same of the base.
        heldout_tokens, general_tokens: lengths of the answers.
    """
    measured, tokens = sorted(measured, key=lambda one: one.scale), sum(heldout_tokens)
    gains = [(math.fsum(one.heldout) - math.fsum(base.heldout)) / tokens for one in measured]
    right = [sum(one.chosen) - sum(base.chosen) for one in measured]
    points = []
    for one, gain, more in zip(measured, gains, right, strict=True):
        share = gain / max(gains) if max(gains) > 0 else 0.0
        accuracy_share = more / max(right) if max(right) >= LEAST_ACCURACY_GAIN * tokens else 1.0
        drift = (math.fsum(base.general) - math.fsum(one.general)) / sum(general_tokens)
        short = (sum(one.early) - sum(base.early)) / len(base.early)
        kept: dict[ScaleLimit, bool] = {
            "gain": min(share, accuracy_share) >= LEAST_KEPT,
            "drift": drift <= MOST_DRIFT,
            "short": short <= MOST_SHORT_SHARE,
        }
        points.append(
            ScalePoint(
                scale=one.scale,
                gain=gain,
                gain_share=share,
                accuracy=sum(one.chosen) / tokens,
                accuracy_share=accuracy_share,
                drift=drift,
                short_share=short,
                beyond=[limit for limit, holds in kept.items() if not holds],
            )
        )
    return ScaleFacts(
        scale=_chosen(points),
        points=points,
        least_kept=LEAST_KEPT,
        most_drift=MOST_DRIFT,
        most_short_share=MOST_SHORT_SHARE,
        heldout_rows=len(base.heldout),
        general_rows=len(base.general),
        length_rows=len(base.early),
        base_accuracy=sum(base.chosen) / tokens,
        base_short_share=sum(base.early) / len(base.early),
    )


def _chosen(points: Sequence[ScalePoint]) -> float:
    """The scale to take, of points in rising order."""
    if good := [point.scale for point in points if not point.beyond]:
        return good[-1]
    if learned := [point.scale for point in points if "gain" not in point.beyond]:
        return learned[0]
    if any(point.gain > 0 for point in points):  # likelihood and accuracy are each best elsewhere
        return max(points, key=lambda point: point.kept).scale
    return points[-1].scale

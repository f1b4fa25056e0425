"""How much of the adapter counts, in a report: what `merge.scale: auto` measured at each scale, and what it took."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from configs.handover.scale import ScaleFacts
from eval.report import figures
from eval.report.charts import ScaleCurve, scale_curve
from eval.report.rows import Table
from eval.report.words import ReportWords


def scale_facts(facts: Mapping[str, Any]) -> ScaleFacts | None:
    """The choice among the facts of a comparison; None where none was made."""
    found = facts.get("scaled")
    return ScaleFacts.model_validate(found) if found else None


def scale_sentence(found: ScaleFacts, words: ReportWords) -> str:
    """What was taken, and why."""
    if not found.learned:
        return words.say("scale.nothing")
    return words.say(
        "scale.chosen" if found.satisfied else "scale.compromise" if found.keeps_gain else "scale.most",
        scale=f"{found.scale:g}",
        least=figures.percent(100 * found.least_kept),
        most=figures.percent(less_likely(found.most_drift)),
        short=figures.percent(100 * found.most_short_share),
    )


def scale_lead(found: ScaleFacts, words: ReportWords) -> str:
    """What it was measured on."""
    rows = {"heldout": found.heldout_rows, "general": found.general_rows, "lengths": found.length_rows}
    return words.say("scale.lead", **{name: f"{count:,}" for name, count in rows.items()})


def scale_table(found: ScaleFacts, words: ReportWords) -> Table:
    """One row a scale, in rising order."""
    keys = (
        "col.scale",
        "col.scale.gain",
        "col.scale.accuracy",
        "col.scale.drift",
        "col.scale.short",
        "col.scale.limits",
    )
    rows = []
    for point in found.points:
        limits = ("、" if words.language == "zh" else ", ").join(
            words.say(f"scale.beyond.{limit}") for limit in point.beyond
        )
        kept = words.say("scale.beyond", limits=limits) if limits else words.say("scale.kept")
        rows.append(
            (
                f"{point.scale:g} · {words.say('scale.taken')}" if point.scale == found.scale else f"{point.scale:g}",
                f"{100 * point.gain_share:.1f} %",
                f"{100 * point.accuracy_share:.1f} %",
                f"{figures.signed(-less_likely(point.drift))} %",
                f"{figures.signed(100 * point.short_share)} %",
                kept,
            )
        )
    tones = tuple("pass" if point.scale == found.scale else "described" for point in found.points)
    return Table(words.say("scale.title"), tuple(words.say(key) for key in keys), tuple(rows), tones, spare=(4,))


def scale_picture(found: ScaleFacts) -> ScaleCurve:
    """The learning-forgetting curve of the scales, from the base on."""
    places = [
        (f"{p.scale:g}", 100 * p.kept, -less_likely(p.drift), p.scale == found.scale, not p.beyond)
        for p in found.points
    ]
    limits = (100 * found.least_kept, -less_likely(found.most_drift))
    return scale_curve([("0", 0.0, 0.0, False, False), *places], limits)


def less_likely(drift: float) -> float:
    """By how many percent a token became less likely, from nats.

    >>> round(less_likely(0.05), 1)
    4.9
    """
    return 100 * -math.expm1(-drift)

"""The words of a report: texts whose figures are written as everywhere in it, and names of groups and flags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from configs.terminal.words import Words
from eval.compare.comparison import Sentence
from eval.report import figures

_WRITTEN: dict[str, Callable[[Any], str]] = {
    "delta": figures.signed,
    "gain": figures.signed,
    "lower": figures.signed,
    "upper": figures.signed,
    "kept": figures.percent,
    "shift": figures.points,
    "nats": figures.nats,
    "worst": figures.nats,
    "best": figures.nats,
    "scored": figures.points,
    "chance": figures.points,
    "p": lambda p: figures.p_value(p) if p < 0.001 else f"= {figures.p_value(p)}",
    "margin": figures.margin,
    "confidence": figures.confidence,
    "n": lambda value: f"{value:,}",
    "min_items": lambda value: f"{value:,}",
    "largest": lambda value: f"{value:,}",
    "needed": lambda value: f"{value:,}",
    "used": lambda value: f"{value:,}",
    "whole": lambda value: f"{value:,}",
    "power": figures.confidence,
    "characters": lambda value: f"{value:,}",
}


class ReportWords(Words):
    """The texts of a report in one language. Values are given as numbers and written by `eval.report.figures`."""

    def say(self, key: str, **values: Any) -> str:
        """A text with its values written in.

        Raises:
            KeyError: when the key or one of its values is missing.
        """
        written = {name: _WRITTEN.get(name, str)(value) for name, value in values.items()}
        if "delta" in values:
            written["fall"] = figures.points(abs(values["delta"]))
        if "margin" in values:
            written["margin_points"] = f"{written['margin']} point{'' if values['margin'] == 1 else 's'}"
        if key == "reservation.stop":
            written |= {f"{side}_percent": figures.percent(values[side]) for side in ("before", "after")}
        if key.startswith(("gate.", "remedy.")) and "name" in values:
            mean = values["name"] == "mean" and key.startswith("remedy.")
            written["group"] = self.say("check.mean") if mean else self.group(values["name"])
        if key == "reservation.group":
            written["group"] = self.group(values["group"])
        return super().say(key, **written)

    def sentence(self, sentence: Sentence) -> str:
        """A sentence of the comparison in words."""
        return self.say(sentence.key, **sentence.values)

    def group(self, name: str) -> str:
        """The usual groups by their names in the language, others as they are."""
        return self.say(f"group.{name}") if f"group.{name}" in self else name

    def time(self, iso: object) -> str:
        """A point of time as people write it, from ISO 8601; anything else as it is, nothing as nothing."""
        try:
            moment = datetime.fromisoformat(str(iso)).astimezone(UTC)
        except ValueError:
            return str(iso or "")
        day = f"{moment.year} 年 {moment.month} 月 {moment.day} 日" if self.language == "zh" else f"{moment:%-d %B %Y}"
        return self.say("report.time", day=day, clock=f"{moment:%H:%M}")

    def flag(self, flag: str) -> str:
        """The flags of a sample in words, unknown ones as they are."""
        return self.say(f"flag.{flag}") if f"flag.{flag}" in self else flag


ENGLISH = ReportWords("en")

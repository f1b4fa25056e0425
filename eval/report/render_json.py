"""A comparison as JSON. The layout is described in docs/report-schema.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from eval.compare.comparison import SCHEMA_VERSION, Comparison, Sentence
from eval.report.words import ENGLISH, ReportWords

_HALF = re.compile("[\ud800-\udfff]")


def as_json(comparison: Comparison, words: ReportWords = ENGLISH) -> dict[str, Any]:
    """The comparison as plain JSON values; messages carry their text in `words` beside their key.

    The picture of the loss stays out: it is a file of its own beside the report.
    """
    tree = _plain(comparison, words)
    tree["facts"].pop("loss_png", None)
    tree["gate"]["exit_code"] = comparison.gate.exit_code
    return {"schema_version": SCHEMA_VERSION, **tree}


def render_json(comparison: Comparison, words: ReportWords = ENGLISH) -> str:
    """The text of report.json.

    Raises:
        ValueError: when a figure is not finite, which JSON cannot hold.
    """
    text = json.dumps(as_json(comparison, words), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    # Half of a surrogate pair, which a file's name may bring, can only be written as an escape.
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _plain(value: Any, words: ReportWords) -> Any:
    if isinstance(value, Sentence):
        return {"key": value.key, "values": _plain(value.values, words), "text": words.sentence(value)}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name), words) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, words) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, words) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return str(value)

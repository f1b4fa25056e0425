"""The JSON: complete, strict, documented."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from eval.compare.comparison import (
    Behaviour,
    Comparison,
    Drift,
    Forgetting,
    Gate,
    GateCheck,
    GroupComparison,
    Judged,
    Look,
    NoiseFloor,
    TaskComparison,
)
from eval.report.render_json import as_json, render_json
from eval.report.words import ReportWords
from tests.eval.report.pages import build


def test_json_is_complete_and_strict() -> None:
    comparison = build(noise=True)
    tree = json.loads(render_json(comparison))
    assert tree == json.loads(json.dumps(as_json(comparison)))
    assert tree["schema_version"] == 2
    assert (tree["gate"]["verdict"], tree["gate"]["exit_code"]) == ("fail", 3)
    assert tree["gate"]["reasons"][0]["text"].startswith("General knowledge fell by more than the 2 points")
    chinese = json.loads(render_json(comparison, ReportWords("zh")))
    assert chinese["gate"]["reasons"][0]["text"].startswith("通用知识：下降超过")
    broken = replace(comparison, confidence=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        render_json(broken)


def test_every_field_of_the_json_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "report-schema.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_0-9]+)`", page))
    found = (Comparison, TaskComparison, GroupComparison, NoiseFloor, Forgetting, Gate, GateCheck, Look)
    for kind in (*found, Judged, Drift, Behaviour):
        assert {field.name for field in fields(kind)} <= named

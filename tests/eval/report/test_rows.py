"""What every rendering says of drift, errors and a judge."""

from dataclasses import replace

import pytest
from rich.console import Console

from configs.recipe.schema import GateConfig
from eval.compare.compare import compare
from eval.compare.comparison import (
    Drift,
)
from eval.compare.judge import JudgedPair, Judgement
from eval.report.render_html import render_html
from eval.report.render_json import as_json
from eval.report.render_markdown import render_markdown
from eval.report.render_terminal import print_comparison
from eval.report.words import ReportWords
from eval.statistics.interval import Interval
from tests.eval.report.pages import Page, build
from tests.eval.synthetic import failed, pair, sides


def test_drift_is_a_line_of_the_short_reports() -> None:
    comparison = build(drift=Drift(28, 4000, 2500, -2.0, -2.1, -0.1, Interval(-0.12, -0.08, 0.95, "ratio_t"), 0.0456))
    console = Console(record=True, width=300)
    print_comparison(comparison, console)
    assert "per character -0.1000 [-0.1200, -0.0800]; KL divergence per token, at least 0.0456" in console.export_text()
    assert "- 通用文本上的漂移：每字对数似然的变化 -0.1000" in render_markdown(comparison, ReportWords("zh"))


def test_errors_and_failed_attempts_are_told_by_class() -> None:
    base, tuned = pair("ceval", 50, 40, 0, 0)
    broken = [replace(failed(one), retries={"timeout": 3}) for one in tuned.samples[:2]]
    repeated = replace(tuned.samples[2], retries={"http_429": 1, "timeout": 1})
    comparison = compare(*sides((base, replace(tuned, samples=[*broken, repeated, *tuned.samples[3:]]))), GateConfig())
    seen = as_json(comparison)["tasks"][0]["tuned_behaviour"]
    assert (seen["errors_by_class"], seen["retries_by_class"]) == ({"timeout": 2}, {"timeout": 7, "http_429": 1})
    for text in (render_markdown(comparison), Page(render_html([comparison], ReportWords("zh"))).text):
        assert "2 (timeout 2)" in text
        assert "8 (timeout 7, http_429 1)" in text


def test_a_judge_is_shown_everywhere() -> None:
    outcomes = ["tuned"] * 30 + ["base"] * 10 + ["tie"] * 20 + [None] * 2
    pairs = [JudgedPair(f"{n}", None, outcome, outcome, outcome) for n, outcome in enumerate(outcomes)]
    judgement = Judgement(
        "sum", "judge-72b", wins=30, losses=10, ties=20, failures=2, agreement=0.8, first_bias=0.55, pairs=pairs
    )
    silent = replace(judgement, task="silent", wins=0, losses=0, ties=0, pairs=pairs[-2:])
    comparison = build(judgements=[judgement, silent, replace(silent, failures=0, pairs=())])
    judged = comparison.judged
    assert [(seen.net_points, round(seen.p, 6)) for seen in judged] == [
        (pytest.approx(100 / 3), 0.002221),
        (0.0, 1.0),
    ]
    assert (judged[1].failures, judged[1].interval.lower, judged[1].interval.upper) == (2, -100, 100)
    assert judged[0].interval.lower > 0
    console = Console(record=True, width=140)
    print_comparison(comparison, console)
    for text in (Page(render_html([comparison])).text, render_markdown(comparison), console.export_text()):
        assert "Judged side by side" in text
        assert "+33.3" in text

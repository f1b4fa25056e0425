"""The choice of a scale in a report: the same figures on the page, in Markdown, JSON and the terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.console import Console

from configs.handover.scale import MeasuredScale, ScaleFacts
from eval.compare.scales import choose
from eval.report.render_html import render_html
from eval.report.render_json import render_json
from eval.report.render_markdown import render_markdown
from eval.report.render_terminal import print_comparison
from eval.report.scales import less_likely, scale_picture, scale_sentence
from eval.report.words import ReportWords
from tests.eval.report.pages import Page, build

BASE = MeasuredScale(scale=0, heldout=[-30.0], chosen=[2], general=[-50.0] * 20, early=[False] * 20)
CURVE = {0.5: (8.1, 0.006, 0), 0.7: (9.62, 0.013, 0), 0.85: (9.9, 0.022, 1), 1.0: (10.0, 0.037, 3)}


def facts(curve: dict[float, tuple[float, float, int]]) -> ScaleFacts:
    measured = [
        MeasuredScale(
            scale=s, heldout=[-30 + g], chosen=[2], general=[-50 - d * 100] * 20, early=[i < e for i in range(20)]
        )
        for s, (g, d, e) in curve.items()
    ]
    return choose(measured, BASE, [10], [100] * 20)


def comparison(**more: Any) -> Any:
    return build(facts={"scaled": facts(CURVE).model_dump(mode="json"), "scale": 0.7, **more})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_form_of_the_report_shows_the_curve_and_the_reason(language: str) -> None:
    words = ReportWords(language)  # type: ignore[arg-type]
    page = Page(render_html([comparison()], words))
    text, markdown = page.text, render_markdown(comparison(), words)
    console = Console(width=200, record=True)
    print_comparison(comparison(), console, words)
    for form in (text, markdown, console.export_text()):
        assert words.say("scale.title") in form
        for figure in ("0.7 · ", "96.2 %", "-1.3 %", "+15.0 %"):
            assert figure in form
        assert scale_sentence(facts(CURVE), words)[:40] in form
    assert ("aria-label", words.say("scale.title")) in page.attributes
    tree = json.loads(render_json(comparison(), words))
    assert ScaleFacts.model_validate(tree["facts"]["scaled"]) == facts(CURVE)


def test_a_run_that_chose_nothing_shows_nothing() -> None:
    plain = build(facts={"scale": 0.7})
    assert "How much of the adapter counts" not in render_markdown(plain)
    assert "Share of the adapter that counts: 0.7" in render_markdown(plain)


def test_where_no_scale_will_do_the_report_says_so_and_what_was_taken() -> None:
    english = ReportWords("en")
    harmful = {scale: (gain, drift + 1, early) for scale, (gain, drift, early) in CURVE.items()}
    said = scale_sentence(facts(harmful), english)
    assert said.startswith("No scale keeps 95.0 % of the gain")
    assert "counts 0.7 times as much as it was trained to: the smallest scale that keeps the gain" in said
    most = facts(harmful).model_copy(update={"scale": 0.5})
    assert "0.5 times as much as it was trained to: the scale that keeps most of it" in scale_sentence(most, english)
    useless = {scale: (-1.0, drift, early) for scale, (_, drift, early) in CURVE.items()}
    assert "no gain to weigh" in scale_sentence(facts(useless), english)


def test_the_curve_begins_at_the_base_and_the_allowed_corner_holds_what_keeps_the_limits() -> None:
    picture = scale_picture(facts(CURVE))
    assert [dot.label for dot in picture.dots] == ["0", "0.5", "0.7", "0.85", "1"]
    assert [dot.taken for dot in picture.dots] == [False, False, True, False, False]
    # Percent of the drawing, from the top: what forgets more stands lower.
    assert [dot.y for dot in picture.dots] == sorted(dot.y for dot in picture.dots)
    inside = [dot.x >= picture.x_limit and dot.y <= picture.y_limit for dot in picture.dots]
    assert inside == [False, False, True, False, False]


def test_nats_become_percent() -> None:
    assert less_likely(0.05) == pytest.approx(4.877, abs=1e-3)
    assert less_likely(-0.05) == pytest.approx(-5.127, abs=1e-3)

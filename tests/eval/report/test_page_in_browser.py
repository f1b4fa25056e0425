"""The report in a browser: nothing runs over its edge, and what is closed on the screen is printed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eval.compare.comparison import Drift
from eval.report.render_html import render_html
from eval.report.words import ReportWords
from eval.statistics.interval import Interval
from tests.browser import Tab, chromium
from tests.eval.report.pages import build

DRIFT = Drift(28, 4000, 2500, -2.0, -2.1, -0.1, Interval(-0.12, -0.08, 0.95, "ratio_t"), 0.0456)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder = tmp_path_factory.mktemp("browser")
    forms = [
        "chatml (LLaMA-Factory qwen3_nothink, LLaMA-Factory chatml, ms-swift chatml, Axolotl chatml, Unsloth chatml)"
    ]
    facts = {"created_at": "2026-11-25T19:37:00+00:00", "recipe": {"data": {"replay": None}}}
    facts["foreign"] = {"renderings": [{"names": forms * 2, "rows": 32, "nats": -89.48, "likelier": 14}]}
    names = ("Qwen2.5-Coder-1.5B-Instruct", "customer-service-assistant-2026-11")
    for language in ("en", "zh"):
        page = render_html([build(drift=DRIFT, facts=facts, names=names)], ReportWords(language))
        (folder / f"{language}.html").write_text(page, encoding="utf-8")
    with chromium(folder) as found:
        found.open((folder / "en.html").as_uri())
        yield found


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_runs_over_the_edge(tab: Tab, language: str, width: int) -> None:
    tab.open(
        tab.run("location.href").replace("en.html", f"{language}.html").replace("zh.html", f"{language}.html"), width
    )
    tab.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.run("document.documentElement.scrollWidth") <= width
    if width == 1280:
        # A table that must be scrolled hides its last columns from who prints or looks in passing.
        over = "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1).length"
        assert tab.run(over) == 0
    assert tab.logged == []


def test_paper_shows_what_is_closed(tab: Tab) -> None:
    closed = "[...document.querySelectorAll('details:not([open]) > *:not(summary)')].map(e => e.checkVisibility())"
    tab.open(tab.run("location.href"))
    assert not any(tab.run(closed))
    tab.for_print()
    shown = tab.run(closed)
    tab.for_print(False)
    assert len(shown) >= 2
    assert all(shown)


def test_units_time_and_meanings_are_there_for_who_did_not_make_it(tab: Tab) -> None:
    tab.open(tab.run("location.href").replace("en.html", "zh.html"))
    text = tab.text()
    for words in (
        "2026 年 11 月 25 日 19:37（协调世界时）",
        "变化（分，满分 100）",
        "这些数字的含义",
        "漂移不提问",
        "accuracy",
    ):
        assert words in text
    assert "2026-11-25T" not in text

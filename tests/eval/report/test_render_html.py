"""The page: complete, well-formed, escaped, in both languages."""

import base64

import pytest
from rich.console import Console

from configs.recipe.schema import GateConfig
from eval.compare.compare import compare, compare_several
from eval.compare.comparison import (
    Drift,
)
from eval.report.render_html import render_html
from eval.report.render_json import render_json
from eval.report.render_markdown import render_markdown
from eval.report.render_terminal import print_runs
from eval.report.words import ReportWords
from eval.statistics.interval import Interval
from tests.eval.report.pages import ATTACK, Page, build
from tests.eval.synthetic import pair, sides


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_is_well_formed_and_asks_nobody(language) -> None:
    page = Page(render_html([build(noise=True)], ReportWords(language)))
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert not [value for name, value in page.attributes if name in ("src", "href")]
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert ("未通过" if language == "zh" else "Failed") in page.text
    assert ("lang", "zh-CN" if language == "zh" else "en") in page.attributes


def test_what_a_model_wrote_stays_text() -> None:
    html = render_html([build(names=("base", ATTACK))])
    assert "<script" not in html
    assert "<img" not in html
    page = Page(html)
    assert ATTACK in page.text
    assert "mark" in page.tags


def test_page_says_the_verdict_before_anything_else() -> None:
    text = Page(render_html([build()])).text
    order = ["Failed", "fell by more than the 2 points allowed", "What was gained", "What was forgotten"]
    places = [text.index(words) for words in (*order, "Results by task", "Answers that changed", "How to repeat this")]
    assert places == sorted(places)


def test_page_shows_advice_drift_and_how_to_repeat() -> None:
    drift = Drift(28, 4000, 2500, -2.0, -2.1, -0.1, Interval(-0.12, -0.08, 0.95, "ratio_t"), 0.0456)
    facts = {
        "created_at": "2026-01-02T10:05:00+00:00",
        "command": "tuneserve run config.yaml",
        "recipe": {"data": {"replay": None}, "train": {"epochs": 3}},
        "parity": {"passed": False, "different": 2},
        "versions": {"vllm": "0.32.0"},
    }
    text = Page(render_html([build(drift=drift, facts=facts)])).text
    for words in (
        "This run had none",
        "-0.1000 [-0.1200, -0.0800]",
        "0.0456",
        "tuneserve run config.yaml",
        "data.replay",
        "0.32.0",
        "2 January 2026, 10:05 UTC",
        "temperature=0.0",
    ):
        assert words in text
    assert "Prompts served as trainedno" in text


TRAINING = {"steps": 1420, "loss": 0.57845, "heldout_loss": None, "train_seconds": 108.8, "tokens_per_s": 3206.7,
            "peak_gb": 1.094, "device": "CPU <i>"}  # fmt: skip


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Training", "Base modelQwen/<b>", "Steps1,420", "Mean training loss0.5785", "Time109 s", "3,207")),
        ("zh", ("训练过程", "基座模型Qwen/<b>", "训练步数1,420", "平均训练损失0.5785", "用时109 s", "3,207")),
    ],
)
def test_training_card_shows_picture_and_figures(language, words) -> None:
    facts = {
        "training": TRAINING,
        "loss_png": base64.b64encode(b"\x89PNG...").decode(),
        "recipe": {"model": "Qwen/<b>", "data": {"replay": None}},
        "versions": {"torch": "2.13.0", "unsloth": "2026.10.9"},
    }
    comparison = build(facts=facts)
    html = render_html([comparison], ReportWords(language))
    page = Page(html)
    for word in (*words, "1.1 GB", "CPU <i>", "unsloth 2026.10.9, torch 2.13.0"):
        assert word in page.text
    assert [value for name, value in page.attributes if name == "src"] == ["data:image/png;base64,iVBORy4uLg=="]
    assert "img-src data:" in html
    assert html.count("iVBORy4uLg==") == 1
    markdown = render_markdown(comparison, ReportWords(language))
    assert "iVBORy4uLg" not in render_json(comparison, ReportWords(language)) + markdown
    assert words[0] in markdown


def test_a_picture_cannot_leave_its_attribute() -> None:
    page = Page(render_html([build(facts={"loss_png": '"><script>alert(1)</script>'})]))
    assert "script" not in page.tags
    assert page.tags.count("img") == 1


def test_without_a_training_there_is_no_card() -> None:
    assert 'class="card training"' not in render_html([build(facts={"training": {}, "loss_png": None})])


def test_page_of_several_runs_draws_them_all() -> None:
    base, _ = sides(pair("mine", 100, 50, 0, 0, role="target"), pair("ceval", 1000, 600, 0, 0))
    runs = {}
    for name, gained, lost in (("mild", 10, 8), ("strong", 30, 80)):
        _, runs[name] = sides(pair("mine", 100, 50, 0, gained, role="target"), pair("ceval", 1000, 600, lost, 0))
    comparisons = compare_several(base, runs, GateConfig())
    page = Page(render_html(comparisons))
    assert page.attributes.count(("class", "ring")) == 2
    assert "2 runs against base" in page.text
    assert page.text.count("What was forgotten") == 2
    console = Console(record=True, width=140)
    print_runs(comparisons, console)
    printed = console.export_text()
    assert "Learning against forgetting" in printed
    assert (page.text.count("Passed, with reservations"), printed.count("Passed, with reservations")) == (3, 2)


def test_page_without_targets_or_without_retention() -> None:
    only_retention = compare(*sides(pair("ceval", 1000, 600, 0, 0)), GateConfig())
    assert "No target task was asked." in render_html([only_retention])
    only_target = compare(*sides(pair("mine", 100, 50, 0, 5, role="target")), GateConfig())
    assert "No retention task was asked" in render_html([only_target])

"""Every rendering of a comparison: complete, escaped, in both languages."""

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from configs.schema import GateConfig
from eval.compare.compare import compare, compare_several
from eval.compare.comparison import (
    Behaviour,
    Comparison,
    Drift,
    Forgetting,
    Gate,
    GateCheck,
    GroupComparison,
    Judged,
    TaskComparison,
)
from eval.compare.flips import without_answers
from eval.compare.judge import JudgedPair, Judgement
from eval.report.render_html import render_html
from eval.report.render_json import as_json, render_json
from eval.report.render_junit import render_junit
from eval.report.render_markdown import render_markdown
from eval.report.render_terminal import print_comparison, print_runs
from eval.report.words import ReportWords
from eval.report.write import write_reports
from eval.statistics.interval import Interval
from tests.eval.synthetic import failed, pair, result, sample, sides

ATTACK = '<script>alert("x")</script><img src=x onerror=alert(1)>'
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects tags and text, and checks that what opens closes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def build(*, noise: bool = False, fell: int = 80, **options) -> Comparison:
    questions = [(f"第{i}题 | {ATTACK}", "北京市", "北京" if i % 2 else ATTACK) for i in range(40)]
    mine = [
        result(
            "mine",
            [
                sample(i, {"zh_f1": score(i)}, question=q, answer=(base, tuned)[side], references=[ATTACK])
                for i, (q, base, tuned) in enumerate(questions)
            ],
            role="target",
            group="target",
            type="qa",
            primary="zh_f1",
            metrics=["zh_f1"],
        )
        for side, score in enumerate((lambda i: 0.4, lambda i: 0.4 + (0.3 if i % 4 else -0.2)))
    ]
    base, tuned = sides(
        (mine[0], mine[1]),
        pair("ceval", 1000, 600, fell, 10, chance=0.25),
        pair("cmmlu", 800, 500, 20, 20, chance=0.25),
        pair("tiny", 60, 40, 2, 1, group="reasoning"),
    )
    options.setdefault("facts", {"recipe": {"data": {"replay": None}}, "proof": {"passed": True}})
    return compare(base, tuned, GateConfig(), base_repeat=base if noise else None, **options)


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
        "created_at": "2026-01-02",
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
        "2026-01-02",
        "temperature=0.0",
    ):
        assert words in text
    assert "Prompts served as trainedno" in text


def test_drift_is_a_line_of_the_short_reports() -> None:
    comparison = build(drift=Drift(28, 4000, 2500, -2.0, -2.1, -0.1, Interval(-0.12, -0.08, 0.95, "ratio_t"), 0.0456))
    console = Console(record=True, width=300)
    print_comparison(comparison, console)
    assert "per character -0.1000 [-0.1200, -0.0800]; KL divergence per token, at least 0.0456" in console.export_text()
    assert "- 通用文本上的漂移: 每字对数似然的变化 -0.1000" in render_markdown(comparison, ReportWords("zh"))


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


def test_page_of_several_runs_draws_them_all() -> None:
    base, _ = sides(pair("mine", 100, 50, 0, 0, role="target"), pair("ceval", 1000, 600, 0, 0))
    runs = {}
    for name, gained, lost in (("mild", 10, 5), ("strong", 30, 80)):
        _, runs[name] = sides(pair("mine", 100, 50, 0, gained, role="target"), pair("ceval", 1000, 600, lost, 0))
    comparisons = compare_several(base, runs, GateConfig())
    page = Page(render_html(comparisons))
    assert page.attributes.count(("class", "ring")) == 2
    assert "2 runs against base" in page.text
    assert page.text.count("What was forgotten") == 2
    console = Console(record=True, width=140)
    print_runs(comparisons, console)
    assert "Learning against forgetting" in console.export_text()


def test_page_without_targets_or_without_retention() -> None:
    only_retention = compare(*sides(pair("ceval", 1000, 600, 0, 0)), GateConfig())
    assert "No target task was asked." in render_html([only_retention])
    only_target = compare(*sides(pair("mine", 100, 50, 0, 5, role="target")), GateConfig())
    assert "No retention task was asked" in render_html([only_target])


def test_json_is_complete_and_strict() -> None:
    comparison = build(noise=True)
    tree = json.loads(render_json(comparison))
    assert tree == json.loads(json.dumps(as_json(comparison)))
    assert tree["schema_version"] == 1
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
    for kind in (Comparison, TaskComparison, GroupComparison, Forgetting, Gate, GateCheck, Judged, Drift, Behaviour):
        assert {field.name for field in fields(kind)} <= named


@pytest.mark.parametrize("language", ["en", "zh"])
def test_markdown_tables_hold_together(language) -> None:
    text = render_markdown(build(noise=True, names=("ba|se", "<b>tuned</b>")), ReportWords(language))
    assert "<b>" not in text
    block: list[int] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(block)) <= 1
            block = []
    assert ("❌ 未通过" if language == "zh" else "❌ Failed") in text


def test_junit_counts_states() -> None:
    root = ElementTree.fromstring(render_junit(build()))
    suite = root.find("testsuite")
    assert suite is not None
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases["group knowledge"] == ["failure"]
    assert cases["group reasoning"] == ["skipped"]
    assert cases["target mine"] == ["system-out"]
    assert cases["verdict"] == ["failure"]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "3", "1")


def test_junit_is_not_green_when_nothing_was_large_enough() -> None:
    comparison = compare(*sides(pair("tiny", 60, 40, 0, 0)), GateConfig(), names=("base", "bad\x00name"))
    root = ElementTree.fromstring(render_junit(comparison))
    error = root.find(".//testcase[@name='verdict']/error")
    assert error is not None
    assert "No group of retention tasks has the 700 items" in str(error.get("message"))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [60, 140])
def test_terminal(language, width) -> None:
    console = Console(record=True, width=width)
    print_comparison(build(noise=True, names=("base", "[red]x[/] tuned")), console, ReportWords(language))
    text = console.export_text()
    assert "[red]x[/] tuned" in text
    assert ("未通过" if language == "zh" else "Failed") in text


def test_no_file_quotes_what_was_asked_or_answered(tmp_path: Path) -> None:
    quoting, silent = build(), without_answers(build())
    texts = [
        "".join(path.read_text(encoding="utf-8") for path in write_reports([comparison], tmp_path / name).values())
        for name, comparison in (("quoting", quoting), ("silent", silent))
    ]
    for quoted in ("第1题", "北京", "alert("):
        assert [quoted in text for text in texts] == [True, False]
    assert "Answers that changed" not in texts[1]
    for before, after in zip(quoting.tasks, silent.tasks, strict=True):
        assert after == replace(before, flips=())
        assert (after.lost, after.gained) == (before.lost, before.gained)


def test_files_of_a_run(tmp_path: Path) -> None:
    comparison = build()
    written = write_reports([comparison], tmp_path / "report")
    assert sorted(written) == ["report.html", "report.json", "report.junit.xml", "report.md"]
    assert {path.name for path in (tmp_path / "report").iterdir()} == set(written)
    again = {name: path.read_bytes() for name, path in written.items()}
    assert write_reports([build()], tmp_path / "report") == written
    assert again == {name: path.read_bytes() for name, path in written.items()}

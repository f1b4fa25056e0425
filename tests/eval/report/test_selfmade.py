"""The rows that a base wrote itself are shown in every report: what became of them, kinds, lengths, and ten rows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from configs.errors import TuneserveError
from configs.handover.selfmade import SelfMadeExample, SelfMadeReport, Spread
from eval.report.render_html import render_html
from eval.report.render_markdown import render_markdown
from eval.report.render_terminal import print_selfmade
from eval.report.selfmade import lead, selfmade_report, tables
from eval.report.words import ReportWords
from eval.selfmade.judging import ANSWER_FAULTS, QUESTION_FAULTS
from eval.selfmade.steering import KINDS, OTHERS
from tests.eval.report.pages import ATTACK, Page, build

REPORT = SelfMadeReport(
    drawn=1000,
    unusable_questions={"near_duplicate": 120, "question_not_ended": 30},
    asked=500,
    unusable_answers={"answer_not_ended": 40, "loop": 4},
    train=256,
    unseen=200,
    wanted_languages={"zh": 1.0},
    languages={"zh": 342, "en": 114},
    kinds={"free": 230, "word_problems": 120, "code": 106},
    question_tokens=Spread(p10=20, p50=45, p90=120, longest=230),
    answer_tokens=Spread(p10=60, p50=310, p90=640, longest=768),
    written_tokens=212_345,
    trained_tokens=80_123,
    unwritten=["ar"],
    examples=[
        SelfMadeExample(
            id=f"self:{i}", kind="code" if i else None, language="zh", question=f"问{i} {ATTACK}", answer=ATTACK
        )
        for i in range(10)
    ],
)


def shown(report: SelfMadeReport) -> dict[str, Any]:
    return {"facts": {"selfmade": report.model_dump(mode="json")}}


def test_the_page_shows_counts_reasons_kinds_lengths_and_ten_rows_and_runs_nothing() -> None:
    page = render_html([build(**shown(REPORT))])
    text = Page(page).text
    for part in (
        "Rows that the base wrote itself", "the base wrote 1,000 questions", "91 % of the answers can be used",
        "Not asked: nearly the same as an earlier one", "12.0 %", "Not used: did not end by itself", "8.0 %",
        "word problems", "unsteered", "Chinese", "310", "Ten of these rows", "问9", "not written by this base: Arabic",
    ):  # fmt: skip
        assert part in text, part
    assert text.count("问") == 10
    assert "<script>" not in page
    assert "基座自己写的样本" in Page(render_html([build(**shown(REPORT))], ReportWords("zh"))).text


def test_the_page_says_that_soft_targets_are_trained() -> None:
    softly = REPORT.model_copy(update={"soft_targets": 256})
    for words, said in ((ReportWords("en"), "20 most likely tokens"), (ReportWords("zh"), "20 个词元及其概率")):
        assert said in lead(softly, words)
        assert said not in lead(REPORT, words)


def test_a_run_without_such_rows_shows_none() -> None:
    assert "wrote itself" not in render_html([build()])
    assert "wrote itself" not in render_markdown(build())


def test_markdown_and_terminal_show_the_same_tables() -> None:
    out = io.StringIO()
    print_selfmade(REPORT, Console(file=out, width=200), ReportWords("en"))
    for text in (render_markdown(build(**shown(REPORT))), out.getvalue()):
        for table in tables(REPORT):
            assert table.title in text
        for part in ("342", "310", "768", "问9"):
            assert part in text, part


def test_counts_add_up() -> None:
    fates = tables(REPORT)[0].rows
    assert [row[1] for row in fates] == ["1,000", "120", "30", "350", "500", "40", "4", "256", "200"]
    assert fates[3][0] == "Not needed"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_fault_kind_and_language_has_its_words(language: str) -> None:
    words = ReportWords(language)  # type: ignore[arg-type]
    for key in (
        *(f"selfmade.fault.{fault}" for fault in (*QUESTION_FAULTS, *ANSWER_FAULTS)),
        *(f"selfmade.kind.{kind}" for kind in (*KINDS, "free")),
        *(f"selfmade.lang.{name}" for name in OTHERS),
    ):
        assert words.say(key)


def test_a_report_of_another_version_is_named_with_what_to_do(tmp_path: Path) -> None:
    assert selfmade_report(tmp_path) is None
    file = tmp_path / "report.json"
    file.write_text(REPORT.model_dump_json(), encoding="utf-8")
    assert selfmade_report(tmp_path) == REPORT
    file.write_text(json.dumps({"drawn": "many"}), encoding="utf-8")
    with pytest.raises(TuneserveError, match=r"report.json: .*\n.*delete the file and repeat the command"):
        selfmade_report(tmp_path)

"""What became of documents, on the page and in the terminal, in both languages; nothing that was written runs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from configs.handover.selfmade import Spread
from configs.terminal.language import LANGUAGES, Language
from eval.documents.judging import PAIR_FAULTS, REPLY_FAULTS
from eval.documents.report import DocumentCounts, DocumentsReport, SampleRow, UnreadFile
from eval.report.documents import print_documents, render_documents
from eval.report.words import ReportWords
from tests.browser import Tab, chromium
from tests.eval.report.pages import ATTACK, Page


def report(documents: int = 4, *, rows: bool = True) -> DocumentsReport:
    sample = SampleRow(
        question=f"How long does the lamp charge? {ATTACK}", answer=f"两个小时。{'W' * 200}",
        place="Lumos > Charging · 3",
        passage=f"The lamp charges for two hours. {ATTACK}",
    )  # fmt: skip
    return DocumentsReport(
        folder="manuals", model="Qwen/Qwen3-8B", style="full",
        with_passage=False, split_by="document",
        copies=[["a.md", "b.md"]],
        documents=[
            DocumentCounts(
                name=f"zh/产品手册 {number} with a long name.pdf", kind="pdf", characters=9000,
                passages=12, answered=11, pairs=33, train=20 if number and rows else 0,
                held_out=0 if number or not rows else 21,
                use="train" if number and rows else "held_out" if rows else "none", notes=["no text on 2 of 9 pages"],
                samples=[sample] * 3 if rows else [],
            )
            for number in range(documents)
        ],
        unread=[UnreadFile(name="old.doc", why="an old Word file; save it as DOCX")],
        not_asked={"special_text": 1, "same_passage": 2, "limit": 3}, unanswered=2,
        replies=dict.fromkeys(REPLY_FAULTS, 2), rejected=dict.fromkeys(PAIR_FAULTS, 3),
        kinds={"quoted": 50, "own_words": 31} if rows else {}, languages={"zh": 60, "en": 21} if rows else {},
        question_characters=Spread.of([10, 20, 30]) if rows else None,
        answer_characters=Spread.of([10, 200, 300]) if rows else None,
        rejected_samples=[sample.model_copy(update={"fault": name, "found": "三"}) for name in PAIR_FAULTS],
    )  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rows", [True, False])
def test_the_page_shows_everything_and_runs_nothing(language: Language, rows: bool) -> None:
    page = Page(render_documents(report(rows=rows), ReportWords(language)))
    assert "script" not in page.tags
    assert "img" not in page.tags
    words = ReportWords(language)
    for name in PAIR_FAULTS:
        assert words.say(f"documents.fault.{name}") in page.text
    why = {"en": "an old Word file; save it as DOCX", "zh": "旧版 Word 文件；另存为 DOCX"}[language]
    for text in ("zh/产品手册 0 with a long name.pdf", "old.doc", why):
        assert text in page.text
    assert (ATTACK in page.text) is True
    assert (words.say("documents.split.document") in page.text) is rows


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_terminal_shows_the_counts(language: Language) -> None:
    shown = io.StringIO()
    print_documents(report(30), Console(file=shown, width=200), ReportWords(language))
    text, words = shown.getvalue(), ReportWords(language)
    assert words.say("documents.tile.documents", count=10) in text
    assert words.say("documents.fault.near_duplicate") in text


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tab, Path]]:
    folder = tmp_path_factory.mktemp("browser")
    for language in LANGUAGES:
        page = render_documents(report(), ReportWords(language))
        (folder / f"{language}.html").write_text(page, encoding="utf-8")
    with chromium(folder) as found:
        yield found, folder


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_runs_over_the_edge(tab: tuple[Tab, Path], language: str, width: int) -> None:
    browser, folder = tab
    browser.open((folder / f"{language}.html").as_uri(), width)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.logged == []

"""What became of documents, for the terminal and as one self-contained page: counts, reasons, and rows to read."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from configs.handover.selfmade import Spread
from configs.terminal.console import plain
from configs.terminal.messages import catalogue
from eval.documents.report import DocumentCounts, DocumentsReport, SampleRow
from eval.report.render_html import page_environment
from eval.report.render_terminal import print_table
from eval.report.rows import Table
from eval.report.words import ENGLISH, ReportWords

_SHOWN_DOCUMENTS = 60
"""Documents whose rows the page shows; the largest ones."""
_SHOWN_IN_TERMINAL = 20


def render_documents(report: DocumentsReport, words: ReportWords = ENGLISH) -> str:
    """The text of report.html."""
    with_rows = sorted((d for d in report.documents if d.samples), key=lambda d: -(d.train + d.held_out))
    shown = {document.name for document in with_rows[:_SHOWN_DOCUMENTS]}
    return page_environment().get_template("documents.html.j2").render(
        language=words.language,
        say=words.say,
        title=f"{words.say('documents.title')}: {report.folder}",
        lead=lead(report, words),
        notes=notes(report, words),
        tiles=_tiles(report, words),
        by_document=documents_table(report, words),
        fates=fates_table(report, words),
        kinds=_kinds(report, words),
        lengths=_lengths(report, words),
        unread=[(one.name, _ours(one.why, words)) for one in report.unread],
        documents=[_shown(document, words) for document in report.documents if document.name in shown],
        more=max(0, len(with_rows) - _SHOWN_DOCUMENTS),
        rejected=[_pair(sample, words) for sample in report.rejected_samples],
    )  # fmt: skip


def print_documents(report: DocumentsReport, console: Console, words: ReportWords = ENGLISH) -> None:
    """Print what became of the documents, in counts."""
    console.print(plain(f"\n{words.say('documents.title')}", style="bold"))
    for line in (lead(report, words), *notes(report, words)):
        console.print(plain(line))
    print_table(documents_table(report, words, _SHOWN_IN_TERMINAL), console)
    for table in (fates_table(report, words), _kinds(report, words), _lengths(report, words)):
        if table is not None:
            print_table(table, console)


def lead(report: DocumentsReport, words: ReportWords = ENGLISH) -> str:
    """The whole in a few sentences."""
    return words.say(
        "documents.lead",
        documents=len(report.documents),
        passages=f"{sum(document.passages for document in report.documents):,}",
        model=report.model,
        answered=f"{sum(document.answered for document in report.documents):,}",
        pairs=f"{report.pairs:,}",
        train=f"{report.train:,}",
        held_out=f"{report.held_out:,}",
        rejected=f"{sum(report.rejected.values()):,}",
    )


def notes(report: DocumentsReport, words: ReportWords = ENGLISH) -> list[str]:
    """How the rows were split, and what the held-out ones can show."""
    if not report.held_out:
        return []
    say = words.say
    return [
        say(f"documents.split.{report.split_by}"),
        *(say("documents.copies", names=", ".join(group)) for group in report.copies),
        say(f"documents.measures.{'open' if report.with_passage else 'closed'}"),
    ]


def documents_table(report: DocumentsReport, words: ReportWords = ENGLISH, most: int | None = None) -> Table:
    """A row for each document, the first `most` of them."""
    say = words.say
    keys = ("document", "use", "passages", "answered", "pairs", "train", "held_out", "left_out")
    rows: tuple[tuple[str, ...], ...] = tuple(
        (
            document.name, say(f"documents.use.{document.use}"), f"{document.passages:,}", f"{document.answered:,}",
            f"{document.pairs:,}", f"{document.train:,}", f"{document.held_out:,}",
            f"{document.pairs - document.train - document.held_out:,}",
        )
        for document in report.documents[:most]
    )  # fmt: skip
    if most is not None and (left := len(report.documents) - most) > 0:
        rows += ((f"+ {say('documents.tile.documents', count=left)}", *("" for _ in keys[1:])),)
    titles = tuple(say(f"documents.col.{key}") for key in keys)
    return Table(say("documents.by_document"), titles, rows, ("flat",) * len(rows), text_columns=2, spare=(3, 2))


def fates_table(report: DocumentsReport, words: ReportWords = ENGLISH) -> Table | None:
    """Everything that became no row, by reason; None where nothing was left out."""
    say = words.say
    lines = [
        *((say(f"documents.fault.{name}"), count) for name, count in report.rejected.items()),
        *((say(f"documents.reply.{name}"), count) for name, count in report.replies.items()),
        *((say(f"documents.not_asked.{name}"), count) for name, count in report.not_asked.items()),
        *([(say("documents.unanswered"), report.unanswered)] if report.unanswered else []),
    ]
    if not lines:
        return None
    rows = tuple((name, f"{count:,}") for name, count in lines)
    titles = (say("documents.col.reason"), say("documents.col.count"))
    return Table(say("documents.fates"), titles, rows, ("flat",) * len(rows))


def _kinds(report: DocumentsReport, words: ReportWords) -> Table | None:
    say = words.say
    lines = [
        *((say(f"documents.kind.{name}"), count) for name, count in report.kinds.items()),
        *((say("documents.language", language=_language(name, words)), n) for name, n in report.languages.items()),
    ]
    if not lines:
        return None
    rows = tuple((name, f"{count:,}") for name, count in lines)
    titles = (say("documents.col.kind"), say("documents.col.count"))
    return Table(say("documents.kinds"), titles, rows, ("flat",) * len(rows))


def _lengths(report: DocumentsReport, words: ReportWords) -> Table | None:
    if report.question_characters is None or report.answer_characters is None:
        return None
    say = words.say

    def row(key: str, spread: Spread) -> tuple[str, ...]:
        return (say(f"selfmade.{key}"), *(f"{n:,}" for n in (spread.p10, spread.p50, spread.p90, spread.longest)))

    rows = (row("question", report.question_characters), row("answer", report.answer_characters))
    titles = (say("selfmade.part"), "10 %", say("selfmade.median"), "90 %", say("selfmade.longest"))
    return Table(say("documents.lengths"), titles, rows, ("flat",) * len(rows))


def _ours(said: str, words: ReportWords) -> str:
    """What a reader of documents said, in the language of the report."""
    return said if words.language == "en" else catalogue().translate(said, ours=True)


def _language(name: str, words: ReportWords) -> str:
    key = f"selfmade.lang.{name}"
    return words.say(key) if key in words else name


def _tiles(report: DocumentsReport, words: ReportWords) -> list[tuple[str, str, str]]:
    """(name, value, note) of the figures at the top."""
    say = words.say

    def documents(uses: tuple[str, ...]) -> str:
        return say("documents.tile.documents", count=sum(document.use in uses for document in report.documents))

    usable = 100 * (report.train + report.held_out) / max(1, report.pairs)
    return [
        (say("documents.tile.train"), f"{report.train:,}", documents(("train", "both"))),
        (say("documents.tile.held_out"), f"{report.held_out:,}", documents(("held_out", "both"))),
        (say("documents.tile.rejected"), f"{sum(report.rejected.values()):,}", ""),
        (say("documents.tile.usable"), f"{usable:.0f} %", say("documents.tile.pairs", pairs=f"{report.pairs:,}")),
    ]


def _shown(document: DocumentCounts, words: ReportWords) -> dict[str, Any]:
    return {
        "name": document.name,
        "use": words.say(f"documents.use.{document.use}"),
        "tone": "gain" if document.use == "train" else "flat",
        "rows": document.train + document.held_out,
        "notes": [_ours(note, words) for note in document.notes],
        "pairs": [_pair(sample, words) for sample in document.samples],
    }


def _pair(sample: SampleRow, words: ReportWords) -> dict[str, str]:
    say = words.say
    return {
        "question": sample.question,
        "answer": sample.answer,
        "place": sample.place,
        "passage": sample.passage,
        "fault": say(f"documents.fault.{sample.fault}") if sample.fault else "",
        "found": say("documents.found", found=sample.found) if sample.found else "",
    }

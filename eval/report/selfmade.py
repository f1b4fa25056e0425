"""What a base wrote itself, as tables: what became of it, kinds, languages, lengths, and ten rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from configs.disk.files import file_bytes
from configs.errors import TuneserveError
from configs.handover.base import what_is_wrong
from configs.handover.selfmade import SelfMadeReport, Spread
from configs.terminal.console import shell
from eval.compare.comparison import Comparison
from eval.report.differences import shortened
from eval.report.rows import Table
from eval.report.words import ENGLISH, ReportWords

_LONGEST_CELL = 160


def selfmade_report(folder: Path) -> SelfMadeReport | None:
    """What was found out about the self-made rows in a run's folder of them; None where there are none.

    Raises:
        TuneserveError: the file is not what the stage writes.
    """
    file = folder / "report.json"
    if not file.is_file():
        return None
    try:
        return SelfMadeReport.model_validate_json(file_bytes(file))
    except ValidationError as error:
        again = shell("tuneserve", "run", folder.parent.parent / "config.yaml")
        raise TuneserveError(
            f"{file}: {what_is_wrong(error)}", f"delete the file and repeat the command: `{again}`"
        ) from error


def of(comparison: Comparison) -> SelfMadeReport | None:
    """What the base of a run wrote itself; None where the run has no such rows."""
    known = comparison.facts.get("selfmade")
    return SelfMadeReport.model_validate(known) if known else None


def lead(report: SelfMadeReport, words: ReportWords = ENGLISH) -> str:
    """The whole in a few sentences."""
    text = words.say(
        "selfmade.lead",
        drawn=f"{report.drawn:,}",
        asked=f"{report.asked:,}",
        usable=f"{100 * report.usable:.0f}",
        train=f"{report.train:,}",
        unseen=f"{report.unseen:,}",
    )
    if report.soft_targets:
        text = f"{text} {words.say('selfmade.soft')}"
    if not report.unwritten:
        return text
    languages = ", ".join(words.say(f"selfmade.lang.{language}") for language in report.unwritten)
    return f"{text} {words.say('selfmade.unwritten', languages=languages)}"


def tables(report: SelfMadeReport, words: ReportWords = ENGLISH) -> list[Table]:
    """What became of the questions and answers, the kinds and languages of the rows, and their lengths."""
    return [_fates(report, words), _kinds(report, words), _lengths(report, words)]


def examples(report: SelfMadeReport, words: ReportWords = ENGLISH, longest: int = _LONGEST_CELL) -> Table:
    """Ten rows, each text cut to `longest` characters."""
    say = words.say
    rows = tuple(
        (
            say(f"selfmade.kind.{row.kind or 'free'}"),
            say(f"selfmade.lang.{row.language}"),
            shortened(row.question, longest),
            shortened(row.answer, longest),
        )
        for row in report.examples
    )
    titles = tuple(say(f"selfmade.{key}") for key in ("kind", "language", "question", "answer"))
    return Table(say("selfmade.examples"), titles, rows, _flat(rows), text_columns=4, spare=(1, 0))


def _fates(report: SelfMadeReport, words: ReportWords) -> Table:
    say = words.say
    kept = report.train + report.unseen
    spare = report.asked - sum(report.unusable_answers.values()) - kept
    waiting = report.drawn - sum(report.unusable_questions.values()) - report.asked
    lines = [(say("selfmade.drawn"), report.drawn, report.drawn)]
    lines += [
        (say("selfmade.not_asked", why=say(f"selfmade.fault.{fault}")), count, report.drawn)
        for fault, count in report.unusable_questions.items()
    ]
    lines += [(say("selfmade.spare"), waiting, report.drawn), (say("selfmade.asked"), report.asked, report.asked)]
    lines += [
        (say("selfmade.not_used", why=say(f"selfmade.fault.{fault}")), count, report.asked)
        for fault, count in report.unusable_answers.items()
    ]
    lines += [(say("selfmade.spare"), spare, report.asked)]
    lines += [
        (say("selfmade.use.train"), report.train, report.asked),
        (say("selfmade.use.unseen"), report.unseen, report.asked),
    ]
    rows = tuple((name, f"{count:,}", f"{100 * count / max(1, of):.1f} %") for name, count, of in lines if count)
    titles = (say("selfmade.fate"), say("selfmade.rows"), say("selfmade.share"))
    return Table(say("selfmade.fates"), titles, rows, _flat(rows))


def _kinds(report: SelfMadeReport, words: ReportWords) -> Table:
    say = words.say
    kinds = [(say(f"selfmade.kind.{name}"), count) for name, count in report.kinds.items()]
    languages = [(say(f"selfmade.lang.{name}"), count) for name, count in report.languages.items()]
    blank = ("", "")
    rows = tuple(
        (*(_counted(kinds, number) or blank), *(_counted(languages, number) or blank))
        for number in range(max(len(kinds), len(languages)))
    )
    count = say("selfmade.rows")
    titles = (say("selfmade.kind"), count, say("selfmade.language"), count)
    return Table(say("selfmade.kinds"), titles, rows, _flat(rows))


def _counted(named: Sequence[tuple[str, int]], number: int) -> tuple[str, str] | None:
    return (named[number][0], f"{named[number][1]:,}") if number < len(named) else None


def _lengths(report: SelfMadeReport, words: ReportWords) -> Table:
    say = words.say

    def row(key: str, spread: Spread) -> tuple[str, ...]:
        return (say(f"selfmade.{key}"), *(f"{n:,}" for n in (spread.p10, spread.p50, spread.p90, spread.longest)))

    rows = (row("prompt", report.question_tokens), row("answer", report.answer_tokens))
    titles = (say("selfmade.part"), "10 %", say("selfmade.median"), "90 %", say("selfmade.longest"))
    return Table(say("selfmade.lengths"), titles, rows, _flat(rows))


def _flat(rows: Sequence[object]) -> tuple[str, ...]:
    return ("flat",) * len(rows)

"""A comparison in the terminal: the verdict, why, and the tables that it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table as RichTable

from configs.handover.selfmade import SelfMadeReport
from configs.terminal.console import asked_for, mark, plain
from eval.compare.comparison import Comparison
from eval.compare.tradeoff import tradeoff
from eval.report import selfmade
from eval.report.rows import Rows, Table, run_table
from eval.report.scales import scale_facts, scale_sentence, scale_table
from eval.report.words import ENGLISH, ReportWords

_STYLES = {"pass": "green", "fail": "red", "not_enough_evidence": "yellow", "described": "dim"}
_TONES = {"gain": "green", "loss": "red", "flat": ""} | _STYLES
_MARKS = {"pass": "✓", "fail": "✗", "not_enough_evidence": "?"}


def print_comparison(comparison: Comparison, console: Console, words: ReportWords = ENGLISH) -> None:
    """Print one comparison."""
    rows, verdict = Rows(comparison, words), comparison.gate.verdict
    style = _STYLES[verdict]
    title = f"{_MARKS[verdict]} {rows.verdict()}"
    body = [plain(rows.summary())]
    body += [plain(f"· {words.sentence(reason)}", style="dim") for reason in comparison.gate.reasons]
    body += [plain(note, style="yellow") for note in rows.notes()]
    heading = plain(title, style=f"bold {style}")
    console.print(Panel(Group(*body), title=heading, title_align="left", border_style=style))
    for table in (rows.renderings(), rows.tasks(), rows.retention(), rows.gate(), rows.judged()):
        if table is not None:
            print_table(table, console)
    if found := scale_facts(comparison.facts):
        print_table(scale_table(found, words), console)
        console.print(plain(scale_sentence(found, words)))
    if looks := rows.looks():
        console.print(plain(f"  {looks}", style="dim"))
    for fact in rows.facts():
        console.print(mark(fact.good), plain(words.labelled(fact.label, fact.value)))
    if vote := rows.vote():
        console.print(plain(f"  {words.labelled(words.say('board.blind'), vote)}"))
    if drift := rows.drift():
        console.print(plain(f"  {drift}"))
    if comparison.advice:
        console.print(plain(f"\n{words.say('advice')}", style="bold"))
        if lead := rows.advice_lead():
            console.print(plain(lead))
        for item in comparison.advice:
            console.print(plain(f"→ {words.sentence(item.text)}"))


def print_selfmade(report: SelfMadeReport, console: Console, words: ReportWords) -> None:
    """Print what a base wrote itself, with ten rows."""
    console.print(plain(f"\n{words.say('selfmade')}", style="bold"))
    console.print(plain(selfmade.lead(report, words)))
    for table in (*selfmade.tables(report, words), selfmade.examples(report, words)):
        print_table(table, console)


def print_runs(comparisons: Sequence[Comparison], console: Console, words: ReportWords = ENGLISH) -> None:
    """Print several runs against one base: each verdict, then learning against forgetting."""
    for comparison in comparisons:
        print_comparison(comparison, console, words)
    points = tradeoff(comparisons)
    if points:
        print_table(run_table(points, words), console)


def print_table(table: Table, console: Console) -> None:
    """Prints a table, without as many of its spare columns as the terminal is too narrow for."""
    hidden: set[int] = set()
    for column in (*table.spare, None):
        shown = _rich(table, hidden)
        if (
            column is None
            or asked_for("json")
            or Measurement.get(console, console.options, shown).maximum < console.width
        ):
            break
        hidden.add(column)
    console.print(shown)


def _rich(table: Table, hidden: set[int]) -> RichTable:
    shown = RichTable(
        title=plain(f"\n{table.title}"), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    kept = [number for number in range(len(table.columns)) if number not in hidden]
    for number in kept:
        shown.add_column(plain(table.columns[number]), justify="left" if number < table.text_columns else "right")
    for row, tone in zip(table.rows, table.tones, strict=True):
        shown.add_row(*(plain(row[number]) for number in kept), style=_TONES[tone])
    return shown

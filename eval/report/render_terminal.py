"""A comparison in the terminal: the verdict, why, and the tables that it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from eval.comparison import Comparison
from eval.report.rows import Table, facts, gate_table, judge_table, retention_table, run_table, summary, task_table
from eval.report.strings import Language, say, text
from eval.tradeoff import tradeoff

_STYLES = {"pass": "green", "fail": "red", "not_enough_evidence": "yellow", "described": "dim"}
_TONES = {"gain": "green", "loss": "red", "flat": ""} | _STYLES
_MARKS = {"pass": "✓", "fail": "✗", "not_enough_evidence": "?"}


def print_comparison(comparison: Comparison, console: Console, language: Language = "en") -> None:
    """Print one comparison."""
    verdict = comparison.gate.verdict
    style = _STYLES[verdict]
    title = f"{_MARKS[verdict]} {say(f'verdict.{verdict}', language)}"
    body = [Text(summary(comparison, language))]
    body += [Text(f"· {text(reason, language)}", style="dim") for reason in comparison.gate.reasons]
    console.print(Panel(Group(*body), title=Text(title, style=f"bold {style}"), title_align="left", border_style=style))
    console.print(_rich(task_table(comparison, language)))
    if comparison.groups:
        console.print(_rich(retention_table(comparison, language)))
    console.print(_rich(gate_table(comparison, language)))
    judged = judge_table(comparison, language)
    if judged is not None:
        console.print(_rich(judged))
    for fact in facts(comparison, language):
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: " "}[fact.good]
        console.print(f"{mark} {escape(fact.label)}: {escape(fact.value)}")
    if comparison.advice:
        console.print(Text(f"\n{say('advice', language)}", style="bold"))
        for item in comparison.advice:
            console.print(Text(f"→ {text(item.text, language)}"))


def print_runs(comparisons: Sequence[Comparison], console: Console, language: Language = "en") -> None:
    """Print several runs against one base: each verdict, then learning against forgetting."""
    for comparison in comparisons:
        print_comparison(comparison, console, language)
    points = tradeoff(comparisons)
    if points:
        console.print(_rich(run_table(points, language)))


def _rich(table: Table) -> RichTable:
    shown = RichTable(title=Text(table.title), title_justify="left", title_style="bold", header_style="bold")
    for number, column in enumerate(table.columns):
        shown.add_column(Text(column), justify="left" if number < table.text_columns else "right")
    for row, tone in zip(table.rows, table.tones, strict=True):
        shown.add_row(*(Text(cell) for cell in row), style=_TONES[tone])
    return shown

"""A comparison as Markdown, for pull requests and model cards."""

from __future__ import annotations

from eval.compare.comparison import Comparison
from eval.report.rows import (
    Table,
    behaviour_table,
    drift_line,
    facts,
    gate_table,
    judge_table,
    other_table,
    retention_table,
    summary,
    task_table,
)
from eval.report.strings import Language, say, text
from eval.report.training import training_rows

_MARKS = {"pass": "✅", "fail": "❌", "not_enough_evidence": "⚠️"}


def render_markdown(comparison: Comparison, language: Language = "en") -> str:
    """The text of report.md."""
    gate = comparison.gate
    versus = say("versus", language, tuned=_cell(comparison.tuned), base=_cell(comparison.base))
    lines = [f"# {say('title', language)}: {versus}", ""]
    lines += [f"## {_MARKS[gate.verdict]} {say(f'verdict.{gate.verdict}', language)}", ""]
    lines += [_cell(summary(comparison, language)), ""]
    lines += [f"- {_cell(text(reason, language))}" for reason in gate.reasons] + [""]
    if comparison.advice:
        lines += [f"## {say('advice', language)}", ""]
        lines += [f"- {text(item.text, language)}" for item in comparison.advice] + [""]
    tables = [task_table(comparison, language)]
    tables += [retention_table(comparison, language)] if comparison.groups else []
    tables += [gate_table(comparison, language), behaviour_table(comparison, language)]
    for table in (*tables, judge_table(comparison, language), other_table(comparison, language)):
        if table is not None:
            lines += _table(table)
    lines += [f"## {say('facts', language)}", ""]
    lines += [f"- {fact.label}: {fact.value}" for fact in facts(comparison, language)]
    drift = drift_line(comparison, language)
    lines += [f"- {drift}", ""] if drift else [""]
    if training := training_rows(comparison, language):
        lines += [f"## {say('training', language)}", ""]
        lines += [f"- {name}: {_cell(value)}" for name, value in training] + [""]
    lines += [f"## {say('method', language)}", ""]
    lines += [say(f"method.{key}", language) + "\n" for key in ("paired", "intervals", "mdd", "noise")]
    return "\n".join(lines).rstrip() + "\n"


def _table(table: Table) -> list[str]:
    rules = ["---" if i < table.text_columns else "---:" for i in range(len(table.columns))]
    rows = [table.columns, rules, *table.rows]
    body = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return [f"## {table.title}", "", *body, ""]


def _cell(value: str) -> str:
    """Text that cannot break a table or become HTML."""
    return value.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

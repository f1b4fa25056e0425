"""A comparison as Markdown, for pull requests and model cards."""

from __future__ import annotations

from configs.terminal.console import visible
from eval.compare.comparison import Comparison
from eval.report import selfmade
from eval.report.rows import Rows, Table
from eval.report.scales import scale_facts, scale_lead, scale_sentence, scale_table
from eval.report.words import ENGLISH, ReportWords

_MARKS = {"pass": "✅", "fail": "❌", "not_enough_evidence": "⚠️"}


def render_markdown(comparison: Comparison, words: ReportWords = ENGLISH) -> str:
    """The text of report.md."""
    rows, say, gate = Rows(comparison, words), words.say, comparison.gate
    versus = say("versus", tuned=_cell(comparison.tuned), base=_cell(comparison.base))
    lines = [f"# {words.labelled(say('title'), versus)}", ""]
    lines += [f"## {_MARKS[gate.verdict]} {rows.verdict()}", ""]
    lines += [_cell(rows.summary()), ""]
    lines += [f"- {_cell(words.sentence(reason))}" for reason in gate.reasons] + [""]
    lines += [line for note in rows.notes() for line in (_cell(note), "")]
    if comparison.advice:
        lines += [f"## {say('advice')}", ""]
        lines += [lead, ""] if (lead := rows.advice_lead()) else []
        lines += [f"- {words.sentence(item.text)}" for item in comparison.advice] + [""]
    if found := scale_facts(comparison.facts):
        lines += _table(scale_table(found, words))
        lines += [scale_sentence(found, words), "", scale_lead(found, words), ""]
    shown = (
        rows.renderings(),
        rows.tasks(),
        rows.retention(),
        rows.gate(),
        rows.behaviour(),
        rows.judged(),
        rows.others(),
    )
    for table in shown:
        if table is not None:
            lines += _table(table)
    lines += [looks, ""] if (looks := rows.looks()) else []
    lines += [f"## {say('facts')}", ""]
    lines += [f"- {words.labelled(fact.label, _cell(fact.value))}" for fact in rows.facts()]
    lines += [f"- {words.labelled(say('board.blind'), vote)}"] if (vote := rows.vote()) else []
    drift = rows.drift()
    lines += [f"- {drift}", ""] if drift else [""]
    if made := selfmade.of(comparison):
        lines += [f"## {say('selfmade')}", "", selfmade.lead(made, words), ""]
        for table in (*selfmade.tables(made, words), selfmade.examples(made, words)):
            lines += ["#" + line if line.startswith("## ") else line for line in _table(table)]
    if training := rows.training():
        lines += [f"## {say('training')}", ""]
        lines += [f"- {words.labelled(name, _cell(value))}" for name, value in training] + [""]
    lines += [f"## {say('meanings')}", ""]
    lines += [f"- {words.labelled(_cell(name), meaning)}" for name, meaning in rows.meanings()] + [""]
    lines += [f"## {say('method')}", ""]
    lines += [say(f"method.{key}") + "\n" for key in ("paired", "intervals", "looks", "mdd", "noise")]
    return "\n".join(lines).rstrip() + "\n"


def _table(table: Table) -> list[str]:
    rules = ["---" if i < table.text_columns else "---:" for i in range(len(table.columns))]
    rows = [table.columns, rules, *table.rows]
    body = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return [f"## {table.title}", "", *body, ""]


def _cell(value: str) -> str:
    """Text that cannot break a table, become HTML, a link or a picture, or hide what it says."""
    plain = visible(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    return plain.replace("](", "]\\(")

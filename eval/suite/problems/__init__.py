"""Word problems with worked steps: `word_problems(count)`; each program writes one kind at five depths."""

from __future__ import annotations

from typing import Any

from eval.suite.draft import Program, rows
from eval.suite.problems import amounts, measures, money

PROGRAMS: dict[str, Program] = {
    "shopping": money.shopping,
    "prices": money.prices,
    "savings": money.savings,
    "stock": amounts.stock,
    "comparison": amounts.comparison,
    "packing": amounts.packing,
    "production": amounts.production,
    "travel": measures.travel,
    "timetable": measures.timetable,
    "garden": measures.garden,
    "average": measures.average,
    "ages": measures.ages,
}


def word_problems(count: int) -> list[dict[str, Any]]:
    """The first `count` problems: `id`, `stratum`, `question`, `answer` (a plain number) and `steps`."""
    return rows("problem", PROGRAMS, count)

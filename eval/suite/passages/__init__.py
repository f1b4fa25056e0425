"""Passages with one question each, answered by words of the passage: `passages(count)`."""

from __future__ import annotations

from typing import Any

from eval.suite.draft import Program, rows
from eval.suite.passages import notices, people, places

PROGRAMS: dict[str, Program] = {
    "staff": people.staff,
    "handing_over": people.handing_over,
    "queue": people.queue,
    "programme": notices.programme,
    "fees": notices.fees,
    "duties": notices.duties,
    "chronicle": places.chronicle,
    "route": places.route,
    "survey": places.survey,
}


def passages(count: int) -> list[dict[str, Any]]:
    """The first `count` passages: `id`, `stratum`, `context`, `question` and `answers` (words of the passage)."""
    return rows("passage", PROGRAMS, count)

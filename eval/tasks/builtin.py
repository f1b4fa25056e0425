"""The built-in suite, offline and CC0: items written by hand, a file a task, and programs that make as many as needed.

The hand-written parts describe. The made ones are what a verdict rests on: their items are balanced over kinds,
languages and levels from the first to any other, so that more of them only continue fewer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from configs.errors import ConfigError
from eval.suite.orders import orders
from eval.suite.passages import passages
from eval.suite.problems import word_problems
from eval.tasks.custom import items_from_rows
from eval.tasks.scoring import SCORING
from eval.tasks.task import Kind, Task

_GROUPS = {
    "qa": "reading",
    "summary": "summary",
    "choice": "knowledge",
    "number": "reasoning",
    "exact": "general",
    "instruction": "instruction",
}


class _Made(NamedTuple):
    """A part that a program makes: its rows, how they are scored, and what an answer may take."""

    rows: Callable[[int], list[dict[str, Any]]]
    kind: Kind
    max_tokens: int
    primary: str | None = None


_MADE = {
    "problems": _Made(word_problems, "number", 800),
    "orders": _Made(orders, "instruction", 768),
    # Names and figures in two languages: what surrounds them in punctuation is no part of the answer.
    "passages": _Made(passages, "qa", 128, "zh_em"),
}
MADE_GROUPS = frozenset(_GROUPS[part.kind] for part in _MADE.values())
"""Groups of which the suite has as many items as wanted."""
MADE_ITEMS = 6000
"""Items of each made part unless `limit` says otherwise: the most that is asked for a verdict."""


def load(name: str = "builtin", only: str | None = None, limit: int | None = None) -> list[Task]:
    """The suite's tasks, named `<name>_<part>`; `only` takes one part of it.

    A file whose rows are of several kinds becomes a task for each: `<name>_<file>_<kind>`.

    Args:
        limit: so many items of each made part; files are returned whole.
    """
    tasks: list[Task] = []
    for part in _parts(only):
        tasks += [_made(f"{name}_{part}", part, limit or MADE_ITEMS)] if part in _MADE else _written(name, part)
    return tasks


def sizes(only: str | None = None, limit: int | None = None) -> list[tuple[str, int]]:
    """Group and number of items of each task that `load` gives, without the seconds that making them takes."""
    found = []
    for part in _parts(only):
        if part in _MADE:
            found.append((_GROUPS[_MADE[part].kind], limit or MADE_ITEMS))
        else:
            found += [(task.group, len(task.items)) for task in _written("builtin", part)]
    return found


def _parts(only: str | None) -> list[str]:
    """Names of all parts, or of the one that is asked for."""
    suite = files("eval").joinpath("suite")
    written = [path.name.removesuffix(".jsonl") for path in suite.iterdir() if path.name.endswith(".jsonl")]
    parts = sorted([*written, *_MADE])
    if only is not None and only not in parts:
        raise ConfigError(f"the built-in suite has no part {only!r}", f"it has: {', '.join(parts)}")
    return parts if only is None else [only]


@cache
def _made(name: str, title: str, count: int) -> Task:
    part = _MADE[title]
    rows = part.rows(count)
    asked = [{key: value for key, value in row.items() if key not in ("stratum", "steps")} for row in rows]
    items = items_from_rows(asked, part.kind, f"the suite's {title}")
    detailed = [
        replace(item, detail={**item.detail, "stratum": row["stratum"]}) for item, row in zip(items, rows, strict=True)
    ]
    return Task(name, part.kind, detailed, group=_GROUPS[part.kind], max_tokens=part.max_tokens, primary=part.primary)


def _written(name: str, stem: str) -> list[Task]:
    text = files("eval").joinpath("suite", f"{stem}.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    by_kind: dict[Kind, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_kind.setdefault(row_kind(row, stem), []).append(row)
    tasks = []
    for kind, some in by_kind.items():
        full = f"{name}_{stem}" if len(by_kind) == 1 else f"{name}_{stem}_{kind}"
        group = "english" if stem.startswith("english") else _GROUPS[kind]
        tasks.append(Task(full, kind, items_from_rows(some, kind, f"eval/suite/{stem}.jsonl"), group=group))
    return tasks


def row_kind(row: Mapping[str, Any], stem: str) -> Kind:
    """The kind that a row names, that its fields show, or that its file's name says, in this order."""
    if row.get("type") in SCORING:
        kind: Kind = row["type"]
        return kind
    if "constraints" in row:
        return "instruction"
    if "choices" in row:
        return "choice"
    if "summary" in row:
        return "summary"
    for known in SCORING:
        if stem.startswith(known):
            return known
    return "number" if stem.startswith(("arithmetic", "math")) else "qa"

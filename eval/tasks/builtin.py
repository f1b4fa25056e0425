"""The built-in suite: `eval/suite/*.jsonl`, a file a task. Small, offline, CC0; it describes, it does not gate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from configs.errors import ConfigError
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


def load(name: str = "builtin", only: str | None = None) -> list[Task]:
    """The suite's tasks, named `<name>_<file>`; `only` takes one file of it.

    A file whose rows are of several kinds becomes a task for each: `<name>_<file>_<kind>`.
    """
    suite = files("eval").joinpath("suite")
    found = {path.name.removesuffix(".jsonl"): path for path in suite.iterdir() if path.name.endswith(".jsonl")}
    if only is not None and only not in found:
        raise ConfigError(f"the built-in suite has no part {only!r}", f"it has: {', '.join(sorted(found))}")
    tasks = []
    for stem in sorted(found) if only is None else [only]:
        rows = [json.loads(line) for line in found[stem].read_text(encoding="utf-8").split("\n") if line.strip()]
        by_kind: dict[Kind, list[Mapping[str, Any]]] = {}
        for row in rows:
            by_kind.setdefault(row_kind(row, stem), []).append(row)
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

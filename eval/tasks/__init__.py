"""Tasks: from a recipe's entry to items with prompts and references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from configs.errors import ConfigError
from configs.recipe.schema import TaskConfig
from configs.tables import read_rows
from eval.tasks import builtin, csl, exam, gsm8k, lcsts, squad
from eval.tasks.builtin import MADE_GROUPS
from eval.tasks.custom import items_from_rows
from eval.tasks.exam import EXAMS
from eval.tasks.heldout import heldout_task
from eval.tasks.scoring import SCORING
from eval.tasks.source import find_table, located
from eval.tasks.task import Item, Kind, Task

__all__ = [
    "MADE_GROUPS", "Item", "Kind", "Task", "group_of", "heldout_task", "load_task", "load_tasks", "sizes",
    "with_own_names",
]  # fmt: skip

_KIND: dict[str, Kind] = {
    **{kind: kind for kind in SCORING},
    **dict.fromkeys(("cmrc", "drcd"), "qa"),
    **dict.fromkeys(("csl", "lcsts"), "summary"),
    **dict.fromkeys(EXAMS, "choice"),
    "gsm8k": "number",
}
_HUB = {"cmrc": "hfl/cmrc2018", "gsm8k": "openai/gsm8k", **{name: one.hub for name, one in EXAMS.items()}}
NO_TASK = frozenset({"looks", "own_answers"})
"""What lies as NAME.jsonl among the answers of the tasks."""
_GROUP = {
    **dict.fromkeys(("qa", "cmrc", "drcd"), "reading"),
    **dict.fromkeys(("summary", "csl", "lcsts"), "summary"),
    **dict.fromkeys(("choice", "ceval", "cmmlu"), "knowledge"),
    **dict.fromkeys(("number", "gsm8k"), "reasoning"),
    "mmlu": "english",
    "instruction": "instruction",
}


def group_of(config: TaskConfig) -> str:
    """The group that an entry's items are pooled into; not that of the built-in suite, which has several."""
    return config.group or _GROUP.get(config.type, "general")


def load_tasks(
    configs: Sequence[TaskConfig], seed: int = 42, hub: str = "huggingface", offline: bool = False
) -> list[Task]:
    """All tasks of a recipe, in its order; raises `ConfigError` where a name is not one task's alone."""
    return with_own_names([task for config in configs for task in load_task(config, seed, hub, offline)])


def with_own_names(tasks: list[Task]) -> list[Task]:
    """The tasks themselves; raises `ConfigError` where the answers of one would lie in the file of something else."""
    names = [task.name for task in tasks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"two tasks are called {twice[0]!r}",
            "give every task a name of its own; the run's held-out rows are `heldout`",
        )
    if taken := sorted(NO_TASK.intersection(names)):
        raise ConfigError(f"a task is called {taken[0]!r}, as a file beside the answers", "give it another name")
    return tasks


def load_task(config: TaskConfig, seed: int = 42, hub: str = "huggingface", offline: bool = False) -> list[Task]:
    """The tasks of one entry: one, or the parts of the built-in suite.

    Args:
        config: the recipe's entry. `path` is a file, a folder or a hub id; for `builtin` the name of one of its parts.
        seed: of the sample that `limit` draws, and of drawn examples.
        hub, offline: where hub ids are looked up, see `eval.tasks.source`.

    Raises:
        ConfigError: no path where one is needed, or a wrong one.
        DataError: the data is not in the layout of its type; the message names file and row.
    """
    _refuse_unheard(config)
    if config.type == "builtin":
        tasks = builtin.load(config.name, config.path, config.limit)
    else:
        path = config.path or _HUB.get(config.type)
        if path is None:
            raise ConfigError(
                f"task {config.name!r} of type {config.type} needs a `path`", "set it to a file or folder"
            )
        with located(path, hub, offline) as root:
            tasks = [_load(config, root, seed)]
    return [
        replace(
            task, role=config.role, group=config.group or task.group, max_tokens=config.max_tokens or task.max_tokens
        ).sampled(config.limit, seed)
        for task in tasks
    ]


def sizes(config: TaskConfig, seed: int = 42, hub: str = "huggingface", offline: bool = False) -> Mapping[str, int]:
    """Items by group of what `load_task` gives; what the built-in suite makes is counted without being made.

    Raises: as `load_task`.
    """
    if config.type != "builtin":
        return {task.group: len(task.items) for task in load_task(config, seed, hub, offline)}
    _refuse_unheard(config)
    found: Counter[str] = Counter()
    for group, count in builtin.sizes(config.path, config.limit):
        found[config.group or group] += min(count, config.limit or count)
    return found


def _refuse_unheard(config: TaskConfig) -> None:
    """Refuses keys that a type does not know: its score would be taken for one with examples, say."""
    exam, builtin_suite = config.type in EXAMS, config.type == "builtin"
    unheard = {
        "shots": bool(config.shots) and not exam and config.type != "gsm8k",
        "subjects": bool(config.subjects) and not exam,
        "system": bool(config.system) and builtin_suite,
    }
    for key in (name for name, is_so in unheard.items() if is_so):
        raise ConfigError(
            f"task {config.name!r}: `{key}` means nothing to a task of type {config.type}",
            "leave it out; examples can be written into the questions of a task of your own",
        )


def _load(config: TaskConfig, root: Path, seed: int) -> Task:
    kind, shots, system, macro = _KIND[config.type], 0, config.system, False
    match config.type:
        case "cmrc" | "drcd":
            items = squad.load(root, system)
        case "csl":
            items = csl.load(root, system)
        case "lcsts":
            items = lcsts.load(root, system)
        case "gsm8k":
            shots = config.shots or 0
            items = gsm8k.load(root, system, shots, seed)
        case "ceval" | "cmmlu" | "mmlu":
            asked = EXAMS[config.type]
            macro = asked.macro
            shots = asked.shots if config.shots is None else config.shots
            items = exam.load(asked, root, shots, config.subjects, system)
        case _:
            items = items_from_rows(read_rows(find_table(root, ("test", "dev"))), kind, str(root), system)
    # A worked problem may take more than a bare number does: 400 tokens cut 178 of 1,319 answers of a 1.5B model.
    most = 800 if config.type == "gsm8k" else None
    return Task(config.name, kind, items, group=group_of(config), max_tokens=most, shots=shots, macro=macro)

"""What is asked at endpoints, from the command line: tasks by name, and `eval.key=value` as a recipe would say it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from configs.errors import ConfigError
from configs.recipe.load import config_without_recipe, resolve_path
from configs.recipe.schema import RunConfig, TaskConfig

OVERRIDES = "eval.key=value ..., and seed, hub, offline and thinking, as in a recipe."


def endpoints_config(
    overrides: Sequence[str], tasks: Sequence[str], targets: Sequence[str] = (), limit: int | None = None
) -> RunConfig:
    """What endpoints are asked and how, in the keys of a recipe. Drift is off unless asked for: it needs vLLM.

    Raises:
        ConfigError: a task or an override that is wrong, or means nothing without a run.
    """
    named = [*parse_tasks(tasks, limit), *parse_tasks(targets, limit, "target")]
    start = {"tasks": [task.model_dump(exclude_unset=True) for task in named], "drift": False}
    allowed = ("eval", "seed", "hub", "offline", "thinking")
    config = config_without_recipe(overrides, allowed, "an endpoint", {"eval": start})
    if "heldout" in config.eval.model_fields_set:
        raise ConfigError("eval.heldout: only a run has held-out rows", "name their file: --targets NAME:TYPE=PATH")
    if not config.eval.tasks:
        raise ConfigError("no --tasks", "name some, such as --tasks builtin --tasks gsm8k=gsm8k/test.jsonl")
    return config


def parse_tasks(
    given: Sequence[str], limit: int | None = None, role: Literal["target", "retention"] = "retention"
) -> list[TaskConfig]:
    """`TYPE`, `TYPE=PATH` or `NAME:TYPE=PATH` become task entries, as a recipe would hold them.

    Raises:
        ConfigError: a type that does not exist.
    """
    tasks = []
    for text in given:
        head, _, path = text.partition("=")
        name, sep, kind = head.partition(":")
        entry = {"name": name, "type": kind if sep else name, "role": role, "limit": limit}
        if path:
            entry["path"] = resolve_path(path, Path.cwd())
        try:
            tasks.append(TaskConfig.model_validate(entry))
        except ValidationError as error:
            problem = error.errors()[0]
            raise ConfigError(
                f"--tasks {text}: {problem['msg'].removeprefix('Value error, ')}, got {problem['input']!r}",
                "write TYPE, TYPE=PATH or NAME:TYPE=PATH, such as gsm8k=data/gsm8k.jsonl",
            ) from None
    return tasks

"""What a run is asked: its own held-out rows, the tasks of its recipe, and the built-in suite."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from configs.console import warn
from configs.errors import ConfigError
from configs.handover.base import read_rows
from configs.handover.rows import HeldoutRow
from configs.model_shape import answers_the_suite
from configs.rundir import RunDir
from configs.schema import RunConfig, TaskConfig
from eval.tasks import Task, heldout_task, load_tasks
from serve.launch.target import base_folder


def run_tasks(run: RunDir, config: RunConfig) -> list[Task]:
    """The tasks of a run: its own held-out rows first, unless the recipe says otherwise, then the recipe's tasks.

    Raises:
        ConfigError: there is nothing to ask.
    """
    tasks = []
    heldout = run.data / "heldout.jsonl"
    if config.eval.heldout and heldout.is_file() and (rows := read_rows(heldout, HeldoutRow, "data")):
        tasks.append(heldout_task(rows, limit=config.data.max_heldout, seed=config.eval_seed))
    tasks += recipe_tasks(config, base_folder(run, config))
    say_what_is_trained_too(config)
    if not tasks:
        raise ConfigError(
            f"{run.path}: nothing to evaluate: no held-out rows and no tasks", "set data.eval_split or eval.tasks"
        )
    return tasks


def say_what_is_trained_too(config: RunConfig) -> None:
    """Warns of tasks whose rows are trained."""
    for name, path in trained_too(config):
        warn(f"task {name} asks {path}, which is trained too: its scores are those of memory")


def trained_too(config: RunConfig) -> list[tuple[str, str]]:
    """(name, path) of tasks whose file a source of the training is, or holds; data sets of a hub have splits."""
    general = config.data.replay.given if config.data.replay else None
    sources = [Path(one.path.partition("#")[0]) for one in (*config.data.sources, *([general] if general else []))]
    places = [source.resolve() for source in sources if source.exists()]
    return [
        (task.name, task.path)
        for task in config.eval.tasks
        if task.path and any(Path(task.path).resolve().is_relative_to(place) for place in places)
    ]


def recipe_tasks(config: RunConfig, base: Path | None = None) -> list[Task]:
    """The tasks that a recipe names, and for a base that can answer it the built-in suite where none is to be kept."""
    return load_tasks(task_configs(config, base), config.eval_seed, config.hub, config.offline)


def task_configs(config: RunConfig, base: Path | None = None) -> list[TaskConfig]:
    """The entries of `recipe_tasks`.

    Args:
        base: folder of the base; None adds nothing to what is named.
    """
    named = [
        task.model_copy(update={"limit": config.eval.suite}) if task.type == "builtin" and not task.limit else task
        for task in config.eval.tasks
        if task.type != "builtin" or task.limit or config.eval.suite
    ]
    kept = any(task.role == "retention" for task in named)
    if kept or base is None or not config.eval.suite or not answers_the_suite(base):
        return named
    return [*named, TaskConfig(name="builtin", type="builtin", limit=config.eval.suite)]


def tasks_fingerprint(tasks: Sequence[Task]) -> str:
    """A hash of every prompt, reference and setting that the tasks hold."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(repr(task).encode())
    return digest.hexdigest()

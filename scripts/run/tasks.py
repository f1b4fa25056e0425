"""What a run is asked: its own held-out rows, the tasks of its recipe, and the built-in suite."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from configs.disk.homes import expanded
from configs.errors import ConfigError
from configs.handover.base import read_rows
from configs.handover.rows import HeldoutRow
from configs.model.files import context_length
from configs.model.shape import answers_the_suite
from configs.recipe.schema import RunConfig, TaskConfig
from configs.run.rundir import RunDir
from eval.tasks import Task, heldout_task, load_tasks, with_own_names
from serve.launch.target import base_folder


def run_tasks(run: RunDir, config: RunConfig) -> list[Task]:
    """The tasks of a run: its own held-out rows first, unless the recipe says otherwise, then the recipe's tasks.

    Raises:
        ConfigError: there is nothing to ask, or a task of the recipe is called as the held-out rows are.
    """
    tasks = with_own_names([*heldout_tasks(run.data, config), *recipe_tasks(config, base_folder(run, config))])
    if not tasks:
        raise ConfigError(
            f"{run.path}: nothing to evaluate: no held-out rows and no tasks",
            "set eval.heldout=true and data.eval_split, or eval.tasks",
        )
    # Imported here: what `check` says of a verdict does without numpy.
    from scripts.run.trained import say_what_is_trained

    say_what_is_trained(tasks, run.data, config)
    require_room(tasks, config, base_folder(run, config))
    return tasks


def require_room(tasks: Sequence[Task], config: RunConfig, model: Path) -> None:
    """Raises a ConfigError where the served context is too short for the answers of a task: each would be refused."""
    from eval.ask.evaluate import longest_answer
    from scripts.run.asking import run_settings

    given = config.serve.max_model_len
    context = context_length(model) if given == "auto" else given
    if not context:
        return
    settings = run_settings(config, "switchable")
    for task in tasks:
        longest = longest_answer(task, settings)
        if (task.kind == "choice" and not settings.thinking) or longest < context:  # a letter is one token
            continue
        if given != "auto":
            step = f"set serve.max_model_len=auto, or to more than {longest:,}"
        elif longest_answer(task, settings, thinks=False) < longest:
            step = "set thinking=false, or take a model of a longer context"
        else:
            step = "set a smaller max_tokens of the task, or of eval, or take a model of a longer context"
        raise ConfigError(
            f"task {task.name}: {longest:,} tokens are kept for an answer, and the context of {context:,} is to "
            "hold question and answer",
            step,
        )


def heldout_tasks(data: Path, config: RunConfig) -> list[Task]:
    """The run's own held-out rows as a task; none where the recipe does not ask them, or there are none.

    Args:
        data: RUN/data, or prepared data.
    """
    heldout = data / "heldout.jsonl"
    rows = read_rows(heldout, HeldoutRow, "data") if config.eval.heldout and heldout.is_file() else []
    return [heldout_task(rows, limit=config.data.max_heldout, seed=config.eval_seed)] if rows else []


def tasks_at_hand(config: RunConfig) -> list[Task]:
    """The tasks of a recipe whose files lie on this machine."""
    there = [
        task for task in config.eval.tasks if task.type != "builtin" and task.path and expanded(task.path).exists()
    ]
    return load_tasks(there, config.eval_seed, config.hub, config.offline)


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

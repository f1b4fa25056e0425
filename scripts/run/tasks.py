"""What a run is asked: its own held-out rows, the tasks of its recipe, and the built-in suite."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from configs.console import warn
from configs.errors import ConfigError, DataError, TuneserveError, first_line
from configs.handover.base import read_rows
from configs.handover.rows import HeldoutRow
from configs.homes import expanded
from configs.model_shape import answers_the_suite
from configs.rundir import RunDir
from configs.schema import RunConfig, TaskConfig
from eval.compare.trained import Question, Trained, trained_questions
from eval.tasks import Task, heldout_task, load_tasks
from serve.launch.target import base_folder
from trainer.data.prepare import TEXT_COLUMNS, TEXTS


def run_tasks(run: RunDir, config: RunConfig) -> list[Task]:
    """The tasks of a run: its own held-out rows first, unless the recipe says otherwise, then the recipe's tasks.

    Raises:
        ConfigError: there is nothing to ask.
    """
    tasks = [*heldout_tasks(run.data, config), *recipe_tasks(config, base_folder(run, config))]
    if not tasks:
        raise ConfigError(
            f"{run.path}: nothing to evaluate: no held-out rows and no tasks", "set data.eval_split or eval.tasks"
        )
    say_what_is_trained(tasks, run.data, config)
    return tasks


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


def say_what_is_trained(tasks: Sequence[Task], data: Path, config: RunConfig) -> None:
    """Warns of tasks whose questions are trained.

    Args:
        data: RUN/data, or prepared data.
    """
    asked = {task.name: [Question(item.id, item.messages, item.references) for item in task.items] for task in tasks}
    for name, count in count_trained(asked, data, config).items():
        warn(
            f"task {name}: {count['trained']:,} of its {count['asked']:,} questions are trained, too, word for word or "
            "nearly: its score is in part that of memory. Take them out of one of the two"
        )


def count_trained(asked: Mapping[str, Sequence[Question]], data: Path, config: RunConfig) -> dict[str, dict[str, int]]:
    """How many questions of a task there are, and how many are trained; tasks of which none is are left out.

    Args:
        data: RUN/data, or prepared data.
    """
    found = trained_questions(asked, trained_conversations(data, config))
    return {name: {"trained": len(ids), "asked": len(asked[name])} for name, ids in found.items()}


def trained_conversations(data: Path, config: RunConfig) -> Iterator[Trained]:
    """What a run and those before it were trained on, as far as they are there and say so.

    Args:
        data: of the run.

    Raises:
        DataError: a file that should say so is damaged.
    """
    for folder in (data, *_data_before(config)):
        file = folder / TEXTS
        if not file.is_file():
            continue
        try:
            with pq.ParquetFile(file) as texts:
                for batch in texts.iter_batches(columns=TEXT_COLUMNS.names):
                    rows = batch.cast(TEXT_COLUMNS).to_pylist()
                    yield from (Trained(*([text for text in row[name] or () if text] for name in row)) for row in rows)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{file}: damaged ({first_line(error)})", "remove it, and tuneserve run writes it again"
            ) from error


def _data_before(config: RunConfig) -> Iterator[Path]:
    """RUN/data of the runs that this one goes on from."""
    seen: set[Path] = set()
    while config.train.continue_from is not None:
        try:
            run = RunDir.open(config.train.continue_from)
            config = run.config()
        except TuneserveError:
            return  # it was removed, or moved
        if run.path in seen:
            return
        seen.add(run.path)
        yield run.data


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

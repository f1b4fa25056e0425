"""What a run was trained on, held against what it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import DataError, TuneserveError, first_line
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import warn
from eval.compare.trained import Question, Trained, trained_questions
from eval.tasks import Task
from trainer.data.prepare import TEXT_COLUMNS, TEXTS


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
    if config.foreign is not None and not config.foreign.rows_known:
        return  # it was looked at with questions of the suite, and nobody says what it was trained on
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
                f"{file}: damaged: {first_line(error)}", "remove it, and tuneserve run writes it again"
            ) from error


def untold(run: RunDir, config: RunConfig) -> list[str]:
    """RUN/data of a run, and of those before it, that do not say any more what was trained."""
    if config.foreign is not None and not config.foreign.rows_known:
        return []
    said = any(f"{run.data.name}/{TEXTS}" in stage.outputs for stage in run.read().stages.values())
    folders = [*([run.data] if said else []), *_data_before(config)]
    return [str(folder) for folder in folders if not (folder / TEXTS).is_file()]


def _data_before(config: RunConfig) -> Iterator[Path]:
    """RUN/data of the runs that this one goes on from."""
    seen: set[Path] = set()
    while (before := config.train.continue_from) is not None:
        try:
            run = RunDir.open(before)
            config = run.config()
        except TuneserveError:
            yield RunDir(Path(before)).data  # it was removed, or moved
            return
        if run.path in seen:
            return
        seen.add(run.path)
        yield run.data

"""Answers that another version scored by its rules are scored again by today's, and nobody is asked anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.run.rundir import Inputs, RunDir
from configs.terminal.console import note
from eval.ask.kept import score_again
from eval.ask.results import TaskResult, read_results
from eval.tasks import Task

KEY = "scoring"
"""The input of a stage that names the rules."""


def as_scored(run: RunDir, stage: str, inputs: Inputs) -> dict[str, Any]:
    """Inputs with the rules that a stage was scored by, whichever they are."""
    record = run.read().stages.get(stage)
    return {**inputs, KEY: record.inputs.get(KEY) if record else None}


def bring_up_to_date(run: RunDir, stage: str, inputs: Inputs, folders: Sequence[Path], tasks: Sequence[Task]) -> None:
    """Scores the answers of a finished stage again where nothing but the rules changed since.

    Args:
        run: the run directory.
        stage: whose answers they are.
        inputs: what they depend on now.
        folders: where they lie.
        tasks: what was asked.
    """
    before = as_scored(run, stage, inputs)
    if before[KEY] == inputs[KEY] or run.changed_since(stage, before) is not None:
        return
    run.amend(stage, inputs, folders, score_again_all(before, inputs, folders, tasks))
    note(f"{stage}: scored again by the rules of this version")


def score_again_all(before: Inputs, inputs: Inputs, folders: Sequence[Path], tasks: Sequence[Task]) -> dict[str, Any]:
    """Scores answers by today's rules where those of `before` are others; gives the scores by folder, or nothing."""
    if before.get(KEY) == inputs[KEY]:
        return {}
    for folder in folders:
        for task in tasks:
            score_again(task, folder)
    return {folder.name: points(read_results(folder)) for folder in folders}


def points(results: Mapping[str, TaskResult]) -> dict[str, dict[str, Any]]:
    """The scores of an endpoint by task, for the manifest."""
    return {
        name: {"metric": result.meta.primary, "points": round(100 * result.mean(), 2), "n": len(result.samples)}
        for name, result in results.items()
    }

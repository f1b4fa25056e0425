"""`train.continue_from`: the earlier run whose merged weights a run goes on from, in the place of `model`."""

from __future__ import annotations

from pathlib import Path

from configs.errors import ConfigError
from configs.network.hub import resolve_model
from configs.recipe.schema import RunConfig
from configs.run.merged import require_current
from configs.run.rundir import RunDir
from configs.terminal.console import shell


def predecessor(config: RunConfig, *, contents: bool = False) -> RunDir | None:
    """The run that a recipe goes on from; None where it starts from its model.

    Args:
        contents: whether every byte of its merged weights is compared with what was written.

    Raises:
        ConfigError: it is this run itself or of another model, or its merged weights are missing, changed, or not those
            of its adapter.
    """
    if config.train.continue_from is None:
        return None
    if not RunDir.is_run(config.train.continue_from):
        raise ConfigError(
            f"train.continue_from: {config.train.continue_from}: no run lies there",
            "give the folder where it lies by now: train.continue_from=FOLDER; what is trained stays",
        )
    before = RunDir.open(config.train.continue_from)
    if before.path == (Path(config.output_dir) / config.name).resolve():
        raise ConfigError(f"train.continue_from: {before.path} is this run itself", "give this run another `name`")
    trained = before.config()
    if trained.model != config.model:
        raise ConfigError(
            f"train.continue_from: {before.path} was trained on {trained.model}, `model` is {config.model}",
            f"set model={trained.model}: the result is held to it, too",
        )
    if not (before.merged / "config.json").is_file():
        raise ConfigError(
            f"train.continue_from: {before.path}: no merged weights in it", shell("tuneserve", "merge", before.path)
        )
    try:
        require_current(before, contents=contents)
    except ConfigError as error:
        raise ConfigError(f"train.continue_from: {error.message}", error.next_step) from error
    return before


def trained_base(config: RunConfig, *, weights: bool = True) -> Path:
    """The folder that training starts from: a predecessor's merged weights, else the model.

    Args:
        weights: whether the weights of a hub's model are needed, too, or its small files alone.

    Raises:
        ConfigError, TuneserveError: as of `predecessor` and `resolve_model`.
    """
    before = predecessor(config, contents=weights)
    if before is not None:
        return before.merged.resolve()
    return resolve_model(config.model, config.hub, config.offline, weights=weights)

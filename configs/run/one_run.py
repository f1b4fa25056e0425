"""What cannot share a run directory: a model and the run that is made of it, a training and a judgement."""

from __future__ import annotations

from pathlib import Path

from configs.disk.homes import expanded
from configs.errors import ConfigError
from configs.recipe.schema import RunConfig
from configs.terminal.console import shell


def require_its_own(run: Path, before: RunConfig | None, config: RunConfig) -> None:
    """Refuses a recipe that cannot work in a run directory.

    Args:
        run: the directory.
        before: the recipe that works in it by now.
        config: the one that would.

    Raises:
        ConfigError: its model lies in there, or what is there is no training where this is one.
    """
    _refuse_own_models(run, config)
    if before is not None:
        _refuse_other_kind(run, before, config)


def _refuse_own_models(run: Path, config: RunConfig) -> None:
    foreign = config.foreign
    named = {"model": config.model}
    if foreign is not None:
        named |= {"foreign.model": foreign.model, "foreign.adapter": foreign.adapter or ""}
    for key, name in named.items():
        folder = expanded(name)
        if name and folder.is_dir() and folder.resolve().is_relative_to(run.resolve()):
            raise ConfigError(
                f"{key}: {name} lies in {run}, the run that would be written in its place",
                "give this run another `name`",
            )


def _refuse_other_kind(run: Path, before: RunConfig, config: RunConfig) -> None:
    if (before.foreign is None) == (config.foreign is None):
        return
    kinds = ("trains a model", "judges the model of another trainer")
    was, will = kinds if before.foreign is None else reversed(kinds)
    raise ConfigError(
        f"{run}: is a run that {was}, and this one {will}",
        f"give this run another `name`, or remove that one: {shell('tuneserve', 'runs', 'rm', run)}",
    )

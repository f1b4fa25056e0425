"""From what a user names to a server that can be started: a run, its adapter, adapters of several runs, any model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from configs.errors import ConfigError
from configs.machine.gpus import visible_cards
from configs.recipe.load import config_without_recipe, load_config
from configs.recipe.schema import ServeConfig
from configs.run.rundir import RunDir
from configs.terminal.console import shell
from serve.launch.cards import on_free_cards
from serve.launch.command import DRAIN_S, ServerCommand, build_command, flag_value
from serve.launch.target import (
    Target,
    adapter_target,
    adapters_target,
    exported_target,
    folder_target,
    is_rounded,
    merged_target,
)
from serve.state.folders import state_folder


@dataclass(frozen=True)
class ServeJob:
    """One server to supervise. Plain data, so that another process can take it over."""

    command: ServerCommand
    """What is started."""
    config: ServeConfig
    """The settings that it was built from."""
    served: Path
    """Run directory or model folder, for `serve status`."""
    log: Path
    """vLLM's log."""
    run: Path | None = None
    """Run directory against whose training the server is checked; None for any other model."""
    check: bool = True
    """Whether it is checked when it comes up."""
    rounded: bool = False
    """Whether it is a copy of the run's weights in fewer bits, whose loss is stated."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """With adapters of several runs: the run directory of each name."""

    @property
    def supervisor_log(self) -> Path:
        """Where a detached supervisor writes what it would have said."""
        port = self.log.stem.removeprefix("serve").removeprefix("-")
        return self.log.with_name(f"supervisor-{port}.log" if port else "supervisor.log")


def prepare(
    what: str | Path | None = None,
    *,
    adapter: bool = False,
    adapters: Mapping[str, str | Path] | None = None,
    overrides: Sequence[str] = (),
    extra: Sequence[str] = (),
    name: str | None = None,
    thinking: bool | None = None,
    check: bool = True,
    against: str | Path | None = None,
) -> ServeJob:
    """Builds the job; nothing is started.

    Args:
        what: a run directory, a model folder, or a hub id.
        adapter: serve base and adapter of the run from one process instead of the merged weights.
        adapters: model names to run directories: their adapters over their one base; instead of `what`.
        overrides: `serve.port=8001` and the like, over the run's recipe.
        extra: arguments that go to vLLM unchanged.
        name: model name of a plain folder; by default the folder's.
        thinking: default thinking mode of a plain folder; by default the template's.
        check: check parity, proof and behaviour of a run when it comes up.
        against: the run that a plain folder was exported from; the folder is checked against it.

    Raises:
        ConfigError: there is nothing to serve, or the settings do not fit.
    """
    if against is not None and (adapters or adapter or what is None or RunDir.is_run(what)):
        raise ConfigError(
            "--against RUN is for a model folder that was exported from the run",
            f"a run is checked against itself: `{shell('tuneserve', 'serve', what or against)}`",
        )
    if adapters:
        runs = {alias: RunDir.open(path) for alias, path in adapters.items()}
        _refuse_other_keys(overrides)
        first = next(iter(runs.values()))
        configs = {run: run.config() for run in runs.values()}
        config = load_config(first.config_file, overrides).serve
        job = _job(adapters_target(runs, configs), config, extra, first.path, _log(first, config), check=check)
        return replace(job, beside={alias: run.path for alias, run in runs.items()})
    if what is None:
        raise ConfigError("nothing to serve was named", "give a run directory or a model folder")
    if RunDir.is_run(what):
        run = RunDir.open(what)
        _refuse_other_keys(overrides)
        recipe = load_config(run.config_file, overrides)
        target = (adapter_target if adapter else merged_target)(run, recipe)
        return _job(target, recipe.serve, extra, run.path, _log(run, recipe.serve), run.path, check)
    if adapter:
        raise ConfigError(f"{what}: not a run directory, so there is no adapter to serve", "leave --adapter out")
    exported = RunDir.open(against) if against is not None else None
    if exported is None:
        dummy = flag_value(extra, "--load-format") == "dummy"
        return folder_job(folder_target(what, name, thinking, dummy=dummy), overrides, extra)
    job = folder_job(exported_target(exported, what, name, thinking), overrides, extra)
    return replace(job, run=exported.path, check=check, rounded=is_rounded(job.served))


def _refuse_other_keys(overrides: Sequence[str]) -> None:
    """Raises a ConfigError for keys of a recipe that change nothing of how a run is served."""
    for word in overrides:
        if not re.match(r"\s*serve[.=]", word):
            raise ConfigError(
                f"override {word!r}: a run is served as it was trained",
                "give serve.*; `tuneserve run` trains by other keys",
            )


def folder_job(target: Target, overrides: Sequence[str] = (), extra: Sequence[str] = ()) -> ServeJob:
    """The job of a plain model folder, which has no recipe and no log folder of its own."""
    config = config_without_recipe(overrides, ("serve",), "a plain model").serve
    return _job(target, config, extra, target.weights, _log_outside(config))


def _log(run: RunDir, config: ServeConfig) -> Path:
    """vLLM's log. A run may be served on several ports at once: each port but that of its recipe has one of its own."""
    if not run.is_writable:
        return _log_outside(config)
    own = run.config().serve.port == config.port
    return run.logs / ("serve.log" if own else f"serve-{config.port}.log")


def _log_outside(config: ServeConfig) -> Path:
    """The log of what has no folder for one: a plain model, or a run of somebody else's."""
    return state_folder().parent / "logs" / f"{config.port}.log"


def _job(
    target: Target,
    config: ServeConfig,
    extra: Sequence[str],
    served: Path,
    log: Path,
    run: Path | None = None,
    check: bool = False,
) -> ServeJob:
    free = psutil.virtual_memory().available
    command = build_command(target, config, extra, available_ram=free, drain_s=DRAIN_S)
    command = on_free_cards(command, config, visible_cards() if command.device == "cuda" else [])
    return ServeJob(command, config, served, log, run, check)

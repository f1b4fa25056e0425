"""One stage of a run, in a process of its own: `python -m trainer data|train|foreign|merge RUN [--force] [--debug]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from configs.cache.folder import cache_root
from configs.handover.training import TrainFigures
from configs.process.child import end_with_parent, ending_in_order
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import console, done, guarded, skipped
from trainer import environment
from trainer.gpus.started import rank_of_this
from trainer.terminal import chatter_to


def main(arguments: list[str] | None = None) -> int:
    """Runs the stage and returns the exit code; errors of the user's go to stderr without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    parser.add_argument("stage", choices=list(_STAGES))
    parser.add_argument("run", help="the run directory")
    parser.add_argument("--force", action="store_true", help="do it again although nothing changed")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(arguments)

    def stage() -> None:
        if options.stage == "train" and rank_of_this() > 0:
            # Started by torchrun beside another one, which holds the run.
            with ending_in_order(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                _follow(options.run)
            return
        run = RunDir.open(options.run)
        with ending_in_order(signal.SIGINT, signal.SIGTERM, signal.SIGHUP), run.exclusively():
            _STAGES[options.stage](run, run.read().config, options.force)

    return guarded(stage, options.debug)


def _follow(folder: str) -> None:
    # Before anything of the training stack is imported, by whatever path.
    environment.settle(cache_root())
    from trainer.sft.rank import follow

    follow(Path(folder).resolve())


def _data(run: RunDir, config: RunConfig, force: bool) -> None:
    environment.quiet()
    from trainer.data.prepare import data_stage
    from trainer.data.preview import data_summary, tokenizing_progress

    with tokenizing_progress(console) as progress:
        report = data_stage(run, config, force=force, progress=progress)
    if report is None:
        skipped("data")
    else:
        done("data", _seconds(run, "data"), data_summary(report))


def _train(run: RunDir, config: RunConfig, force: bool) -> None:
    # Before anything of the training stack is imported, by whatever path.
    environment.settle(cache_root())
    from trainer.sft.stage import train_stage

    with chatter_to(run.logs / "tune.log"):
        figures = train_stage(run, config, force=force)
    if figures is None:
        skipped("train")
    else:
        summary = (
            f"{figures.steps} steps in {figures.train_seconds:.0f} s"
            f"{f' on {figures.gpus} GPUs' if figures.gpus > 1 else ''}, loss {figures.loss:.4f}, "
            f"{figures.tokens_per_s:.0f} tokens/s, peak {figures.peak_gb:.1f} GB{_recorded(figures)}{_softly(figures)}"
        )
        done("train", _seconds(run, "train"), summary)


def _recorded(figures: TrainFigures) -> str:
    """How many passes came from recordings, and why not the others."""
    if figures.recorded is None:
        return ""
    why = figures.recorded.off or figures.recorded.updates_off
    return f", {figures.recorded.share:.0%} of the passes recorded{f' (recording failed: {why})' if why else ''}"


def _softly(figures: TrainFigures) -> str:
    """How many rows were trained by the base's own probabilities."""
    return f", {figures.soft_rows:,} rows by the base's own probabilities" if figures.soft_rows else ""


def _foreign(run: RunDir, config: RunConfig, force: bool) -> None:
    environment.settle(cache_root())
    with chatter_to(run.logs / "tune.log"):
        from trainer.foreign.stage import foreign_stage

        facts = foreign_stage(run, config, force=force)
    if facts is None:
        skipped("foreign")
        return
    faults = sum(finding.fault for finding in facts.findings)
    found = f"{faults} fault{'' if faults == 1 else 's'} found before serving"
    done("foreign", _seconds(run, "foreign"), f"{found}; given as {facts.kind}, to be asked as {facts.rendering}")


def _merge(run: RunDir, config: RunConfig, force: bool) -> None:
    environment.settle(cache_root())
    with chatter_to(run.logs / "tune.log"):
        from trainer.export.stage import merge_run

        merge_run(run, config, force)


def _seconds(run: RunDir, stage: str) -> float:
    return run.read().stages[stage].seconds or 0.0


_STAGES = {"data": _data, "train": _train, "foreign": _foreign, "merge": _merge}

if __name__ == "__main__":
    end_with_parent()
    if sys.argv[1:2] == ["data"]:
        environment.without_torch()
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the training stack can hold the interpreter for seconds after the work is done.
    os._exit(code)

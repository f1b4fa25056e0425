"""`tuneserve check`: config, data, template, environment, disk, memory and time, before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from configs.disk.temporary import temporary_folder
from configs.errors import TuneserveError
from configs.recipe.load import dump_config, load_config
from configs.recipe.schema import RunConfig
from configs.run.predecessor import trained_base
from configs.run.rundir import RunDir
from scripts.run.stages import run_child
from serve.launch.user_flags import require_plain


def check(
    config: Annotated[Path, typer.Argument(help="The recipe, or the name of one that `init` lists.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value ...")] = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", help="Plan for another GPU, such as a100-80gb or rtx4090.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every layout, not the five that differ most.")] = False,
    num_gpus: Annotated[
        int | None, typer.Option("--num-gpus", min=1, help="Plan for so many of them; train.num_gpus by default.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Rows to show with their trained tokens.")] = 3,
) -> None:
    """Look at config, data, template, machine and plan; needs no GPU and trains nothing.

    `tuneserve check qwen3-14b-h100.yaml --gpu h100-80gb --num-gpus 2`
    """
    several = [f"train.num_gpus={num_gpus}"] if num_gpus else []
    resolved = load_config(config, [*(overrides or []), *several])
    require_plain(resolved.serve.args, (), resolved.serve.api_key_env)
    with temporary_folder() as folder:
        # Resolved here, so that a mistake in it is said before anything heavy is imported.
        file = folder / f"{resolved.name}.yaml"
        file.write_text(dump_config(resolved), encoding="utf-8")
        command = [sys.executable, "-m", "trainer.check", str(file), "--rows", str(rows)]
        run_child("check", [*command, *(["--gpu", gpu] if gpu else []), *(["--all"] if every else [])])
    _say_what_is_asked(resolved)
    if resolved.measures_unseen:
        from configs.terminal.console import tables
        from eval.report.render_terminal import print_selfmade
        from eval.report.selfmade import selfmade_report
        from eval.report.words import ReportWords

        made = selfmade_report(RunDir(Path(resolved.output_dir) / resolved.name).selfmade)
        if made is not None:
            print_selfmade(made, tables, ReportWords.chosen())


def _say_what_is_asked(config: RunConfig) -> None:
    """How many items a verdict on forgetting takes, what the recipe lacks for one, and what it would ask of memory."""
    from eval.tasks import with_own_names
    from scripts.run.tasks import heldout_tasks, require_room, task_configs, tasks_at_hand
    from scripts.run.trained import say_what_is_trained
    from scripts.run.verdict import say_verdict
    from trainer.data.prepare import prepare

    try:
        model = trained_base(config, weights=False)
    except TuneserveError:
        model = None  # a known model that no hub could be asked for: its data were not prepared
    if model is not None:
        # They were prepared a moment ago.
        data = prepare(config, model).folder
        tasks = with_own_names([*heldout_tasks(data, config), *tasks_at_hand(config)])
        say_what_is_trained(tasks, data, config)
        require_room(tasks, config, model)
    say_verdict(config, task_configs(config, Path(config.model)))

"""`tuneserve run`: the whole way in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.errors import EXIT_OK
from configs.recipe.load import load_config
from configs.run.rundir import RunDir
from configs.terminal.console import console, shell
from scripts.run.several import require_alone


def run(
    config: Annotated[
        Path, typer.Argument(help="The recipe, the name of one that `init` lists, or config.yaml of a run.")
    ],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value ...")] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Leave the tuned model served at the end.")] = True,
    detach: Annotated[bool, typer.Option("--detach", help="Serve in the background and return.")] = False,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 3 or 4 when the gate does not pass.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Resume training even where its inputs changed.")] = False,
) -> None:
    """Train, merge, prove, compare, report, then serve.

    `tuneserve run configs/demo.yaml`; finished stages are skipped unless what they depend on changed.
    """
    # Imported here: a mistyped recipe should answer at once.
    resolved = load_config(config, overrides or [])
    require_alone()
    from eval.report.words import ReportWords
    from scripts.run import continuing, pipeline
    from scripts.run.selfmade import make_selfmade
    from scripts.run.tasks import run_tasks
    from serve.launch.cards import check_cards
    from serve.launch.command import check_device, installed_device
    from serve.launch.job import prepare
    from serve.launch.ports import require_free_port
    from serve.service import detach_running, keep_running, serve_detached, serve_foreground

    words = ReportWords.chosen()
    # Found out now, not after an hour of training.
    device = installed_device()
    check_device(resolved.serve, device)
    check_cards(resolved.serve, device)
    if serve:
        require_free_port(resolved.serve.host, resolved.serve.port)
    with RunDir.claim(resolved) as run_dir:
        pipeline.prepare_data(run_dir, resolved)
        tasks = run_tasks(run_dir, resolved)
        with pipeline.base_server(run_dir, resolved) as base:
            make_selfmade(run_dir, resolved, base)
            pipeline.train_and_ask_base(run_dir, resolved, tasks, base, force)
        pipeline.scale_and_merge(run_dir, resolved)
        continuing.evaluate_origin(run_dir, resolved, tasks)
        server = pipeline.evaluate(run_dir, resolved, tasks, keep=serve)
        try:
            comparison = pipeline.report(run_dir, resolved, words)
            beside = continuing.report_origin(run_dir, resolved, words, run_dir.report / continuing.STAGE)
            code = continuing.worst_exit_code(comparison, beside)
        except BaseException:
            if server is not None:
                server.stop()
            raise
    if not serve:
        console.print(f"\nServe it: {shell('tuneserve', 'serve', run_dir.path)}")
    elif server is None:
        # The answers are up to date, so the server was not needed for them; it is checked again when it comes up.
        (serve_detached if detach else serve_foreground)(prepare(run_dir.path), console)
    else:
        (detach_running if detach else keep_running)(prepare(run_dir.path), server, console)
    raise typer.Exit(code if gate else EXIT_OK)

"""`tuneserve train`: data, LoRA fine-tuning, adapter, loss plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.recipe.load import load_config
from configs.run.rundir import RunDir
from configs.terminal.console import console, shell
from scripts.run.several import follows, keep_others_for_training
from scripts.run.stages import run_stage


def train(
    config: Annotated[Path, typer.Argument(help="The recipe, or the name of one that `init` lists.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value ...")] = None,
    force: Annotated[bool, typer.Option("--force", help="Resume even where config, data or versions changed.")] = False,
) -> None:
    """Tokenize the data and train the adapter.

    `tuneserve train qwen3-8b.yaml train.epochs=3 train.learning_rate=1e-4`
    """
    resolved = load_config(config, overrides or [])
    if follows(resolved):
        return
    others = keep_others_for_training()
    # Imported here: a mistyped recipe should answer at once.
    from scripts.run.beside import training_cards

    with RunDir.claim(resolved) as run:
        run_stage("data", run)
        if resolved.measures_unseen:
            # Imported here: only what the base writes itself needs a server.
            from scripts.run import pipeline
            from scripts.run.selfmade import make_selfmade

            with pipeline.base_server(run, resolved) as base:
                make_selfmade(run, resolved, base)
        run_stage("train", run, *(["--force"] if force else []), environment=others or training_cards(resolved))
    then = shell("tuneserve", "merge", run.path)
    if resolved.train.method == "full":
        console.print(f"\nweights: {run.adapter}\nnext: {then}")
    else:
        console.print(f"\nadapter: {run.adapter}\nnext: {then}")

"""`tuneserve judge`: a verdict on a model that another trainer made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from configs.run.rundir import RunDir


def judge(
    model: Annotated[
        str, typer.Argument(help="Merged 16-bit weights, a PEFT adapter, or the folder of an earlier judgement.")
    ],
    overrides: Annotated[list[str] | None, typer.Argument(help="section.key=value ..., as in a recipe.")] = None,
    base: Annotated[str | None, typer.Option("--base", help="Folder or hub id of the 16-bit base.")] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="Rows that it was trained on; may be given several times.")
    ] = None,
    heldout: Annotated[
        str | None, typer.Option("--heldout", help="Rows that it was not trained on; else a part of --data.")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="The adapter that merged weights were made with, to prove them.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", help="How it was trained to be asked, if you know: qwen3_nothink, a Jinja file."),
    ] = None,
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="Thinking mode of the training; else by the rows.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run; judge-FOLDER by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Look again even where nothing changed.")] = False,
) -> None:
    """Judge a model of LLaMA-Factory, ms-swift, Axolotl, Unsloth or anyone: is it served as it was trained, and better?

    `tuneserve judge ./lora-out --base Qwen/Qwen3-8B --data train.jsonl --heldout dev.jsonl`

    Exits with 0 (passed), 3 (a fault was found, or it lost too much), 4 (not enough evidence) or 5 (too many errors).
    """
    from eval.report.words import ReportWords
    from scripts.run import judging
    from serve.launch.cards import check_cards
    from serve.launch.command import check_device, installed_device

    words, more = ReportWords.chosen(), overrides or []
    if RunDir.is_run(model):
        if base or data or heldout or adapter or template or name or thinking is not None:
            raise ConfigError(
                f"{model}: is a judgement already, and has its base and its rows", "give section.key=value at most"
            )
        config = judging.judged_again(Path(model), more)
    elif base is None:
        raise ConfigError("--base is missing", "name the 16-bit base that was trained, such as Qwen/Qwen3-8B")
    else:
        if heldout and not data:
            raise ConfigError("--heldout was given without --data", "give the rows that it was trained on, too")
        config = judging.judge_recipe(
            model,
            base,
            data=data or (),
            heldout=heldout,
            adapter=adapter,
            template=template,
            thinking=thinking,
            name=name,
            overrides=more,
        )
        if name is None:
            judging.refuse_another(config)
    device = installed_device()
    check_device(config.serve, device)
    check_cards(config.serve, device)
    own_length = judging.length_is_given(config, more)
    comparison = judging.judge(config, words, own_length=own_length, force=force)
    raise typer.Exit(comparison.gate.exit_code)

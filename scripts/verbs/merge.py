"""`tuneserve merge`: merged 16-bit weights or GGUF, from a run or from any PEFT adapter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from configs.recipe.load import load_config
from configs.recipe.schema import RunConfig
from configs.run.adapter_scale import check_scale, require_stored
from configs.run.rundir import RunDir
from configs.terminal.console import console, shell
from scripts.run.stages import put_model_card, run_child, run_stage
from trainer.export.upload import push as push_folder
from trainer.requirements import check_quantizer


def merge(
    run: Annotated[Path | None, typer.Argument(help="The run directory.")] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="vllm or gguf, may be given twice; with --model also fp8, int8 or int4."),
    ] = None,
    quant: Annotated[
        str | None, typer.Option("--quant", help="Number format of the GGUF file: q8_0, bf16, q4_k_m ...")
    ] = None,
    model: Annotated[Path | None, typer.Option("--model", help="A PEFT adapter instead of a run.")] = None,
    save_as: Annotated[
        Path | None, typer.Option("--save-as", "--save_as", help="Folder to write, with --model.")
    ] = None,
    scale: Annotated[
        str | None, typer.Option("--scale", help="How much the adapter counts: 0.7; a run also takes auto.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="16-bit base of the adapter, if it names another.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Merge again even when nothing changed.")] = False,
    push: Annotated[
        str | None, typer.Option("--push", help="Upload to OWNER/NAME of the run's hub, privately.")
    ] = None,
) -> None:
    """Merge a run's adapter into its base, or any PEFT adapter into the base that it names.

    `tuneserve merge runs/shop --format gguf --quant q8_0`

    `tuneserve merge runs/shop --scale 0.7`

    `tuneserve merge --model ./qwen3-lora --save-as ./qwen3-merged --format vllm`
    """
    if (run is None) == (model is None):
        raise ConfigError("give either a run directory or --model ADAPTER", "see `tuneserve merge --help`")
    if model is not None:
        if save_as is None:
            raise ConfigError("--model needs --save-as FOLDER", "name a folder that does not exist yet")
        if formats and len(formats) > 1:
            raise ConfigError("--model writes one --format a call", "call it again, with a --save-as of its own")
        if push or force:
            raise ConfigError("--push and --force are for a run", "leave them out; `hf upload` sends any folder")
        command = [sys.executable, "-m", "trainer.export.adapter", str(model), str(save_as)]
        command += ["--format", (formats or ["vllm"])[0]]
        named = (("--base", base), ("--quant", quant), ("--scale", scale and _number(scale)))
        command += [arg for flag, value in named if value for arg in (flag, value)]
        run_child("merge", command)
        return
    assert run is not None
    # Imported here: a mistyped command should answer at once.
    from scripts.run.scaling import choose_scale

    if save_as or base:
        raise ConfigError("--save-as and --base go with --model", f"give --model {run / 'adapter'}, or leave them out")
    opened = RunDir.open(run)
    with opened.exclusively():
        config = _with_options(opened, formats, quant, scale)
        opened.configure(config)
        choose_scale(opened, config)
        run_stage("merge", opened, *(["--force"] if force else []))
        if push:  # while it is held: what is uploaded is what the card speaks of
            put_model_card(opened)
            console.print(f"pushed to {push_folder(opened.merged, push, config.hub)}")
    console.print(f"\nnext: {shell('tuneserve', 'serve', run)}   (it proves the weights before anybody uses them)")
    if "gguf" in config.merge.formats:
        console.print(
            f"      {shell('tuneserve', 'serve', run)} --print-only   (shows llama.cpp's command for the GGUF file)"
        )


def _number(scale: str) -> str:
    """The scale of an adapter without a run, which has nothing to choose one by."""
    try:
        float(scale)
    except ValueError as error:
        raise ConfigError(f"--scale {scale}: no number", "give one, such as 0.7; only a run can choose") from error
    return scale


def _with_options(run: RunDir, formats: list[str] | None, quant: str | None, scale: str | None) -> RunConfig:
    overrides = [f"merge.formats=[{', '.join(formats)}]"] if formats else []
    overrides += [f"merge.gguf_quant={quant.lower()}"] if quant else []
    overrides += [f"merge.scale={scale}"] if scale else []
    config = load_config(run.config_file, overrides)
    # Refused before the run remembers it.
    check_quantizer(config.merge)
    check_scale(config)
    if config.merge.scale != "auto":
        require_stored(run, config.merge.scale)
    return config

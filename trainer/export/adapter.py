"""Merging any PEFT adapter, not only a run's.

    python -m trainer.export.adapter ADAPTER SAVE_AS [--format vllm|gguf|fp8|int8|int4] [--base BASE] [--quant q8_0]

This is what `tuneserve merge --model ADAPTER --save-as SAVE_AS` runs.
"""

from __future__ import annotations

from trainer import environment  # isort: skip - what warns while it is imported comes below

if __name__ == "__main__":
    environment.quiet()

import argparse
import re
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from configs.errors import ConfigError, TuneserveError
from configs.network.hub import resolve_model
from configs.process.child import end_with_parent
from configs.recipe.schema import LARGEST_SCALE
from configs.run.adapter_scale import adapter_scale
from configs.run.merged import adapter_hash, export_note, require_base, require_trained
from configs.run.rundir import RunDir
from configs.terminal.console import console, guarded
from trainer.architectures import refuse_own_code
from trainer.data.template import ChatCodec
from trainer.export.changes import plan_merge, read_adapter_config
from trainer.export.foreign import new_tokens, template_note, tokens_note, with_tokenizer_of
from trainer.export.gguf import export_gguf
from trainer.export.int4 import export_4bit
from trainer.export.int8_fp8 import export_8bit
from trainer.export.merge import merge_adapter, pick_device
from trainer.export.modelfile import modelfile, own_rows, write_modelfile
from trainer.export.new_folder import Export, shown_progress
from trainer.export.side_files import check_sources
from trainer.export.tensors import MergedTensors

Format = Literal["vllm", "gguf", "fp8", "int8", "int4"]

QUANTIZED_NAME = re.compile(
    r"(-unsloth)?-bnb-[48]bit$|-(gptq|awq)(-int[48])?$|-int[48]$|-fp8(-dynamic)?$", re.IGNORECASE
)
"""How hub repositories name quantized copies of a model; without it the name is that of the 16-bit original."""


@dataclass(frozen=True)
class AnyMerge:
    """What was merged and written."""

    base: Path
    """The base model that was used."""
    notes: list[str]
    """What the user should know about how it was chosen."""
    folder: Path
    """What was written."""
    size_gb: float
    """Its size, in GB of 1e9 bytes."""


def merge_any(
    adapter: Path,
    save_as: Path,
    fmt: Format = "vllm",
    base: str | None = None,
    *,
    quant: str = "q8_0",
    shard_gb: float = 5.0,
    hub: str = "huggingface",
    offline: bool = False,
    device: str = "auto",
    scale: float | None = None,
) -> AnyMerge:
    """Merges an adapter into its base and writes 16-bit weights, a GGUF file, or weights in 8 or 4 bits.

    Args:
        adapter: folder with adapter_config.json and adapter_model.safetensors.
        save_as: folder to write; must not exist or be empty.
        base: folder or hub id of the 16-bit base; by default the one that adapter_config.json names.
        quant: number format of a GGUF file.
        scale: the adapter counts so many times as much as it was trained to; by default 1, or what the run of the
            adapter decided.

    Raises:
        ConfigError: adapter or base cannot be found or used, or `save_as` holds files.
        TuneserveError: they do not fit each other, the download failed, or the disk is full.
    """
    config = read_adapter_config(adapter)
    notes = []
    run = _run_of(adapter)
    read = adapter_hash(run) if run else ""
    try:
        if run is not None:
            require_trained(run)
    except ConfigError as error:
        notes.append(error.message)
    if scale is None:
        scale = adapter_scale(run) if run else 1.0
        if scale != 1:
            notes.append(f"the adapter counts {scale:g} times as much, as in its run; --scale 1 takes it whole")
    elif not 0 < scale <= LARGEST_SCALE:
        raise ConfigError(f"--scale {scale:g}: not above 0 and at most {LARGEST_SCALE}", "1 takes the adapter whole")
    name = base or config.base_model_name_or_path
    if not name:
        raise ConfigError(f"{adapter}: adapter_config.json names no base model", "give it with --base")
    if base is None and not Path(name).is_dir() and QUANTIZED_NAME.search(name):
        original = QUANTIZED_NAME.sub("", name)
        notes.append(f"the adapter was trained on {name}; merging into the 16-bit {original}")
        name = original
    folder = _base_folder(name, base is not None, hub, offline)
    refuse_own_code(folder)
    check_sources(folder, adapter)
    try:
        if run is not None:
            require_base(run, folder)
    except ConfigError as error:
        if base is None and Path(name).is_dir():
            raise
        notes.append(error.message)
    plan_merge(folder, adapter, scale)  # what does not fit is said of the folder that the user knows
    if note := template_note(adapter, folder):
        notes.append(note)
    fresh = new_tokens(adapter, folder)
    with with_tokenizer_of(adapter, folder) if fresh else nullcontext(folder) as model:
        if fresh:
            notes.append(tokens_note(adapter, fresh))
        try:
            end_token_id = ChatCodec.load(model).facts.end_token_id
        except ConfigError as error:
            end_token_id = None
            notes.append(f"no end-of-turn token was added to generation_config.json: {error.message}")
        with shown_progress(f"merge to {fmt}") as on_progress:
            made_of = export_note(read, scale) if run else {}
            export = Export(model, save_as, end_token_id, shard_gb, on_progress, beside=made_of)
            _write(adapter, export, fmt, quant, device, scale)
    size = sum(f.stat().st_size for f in save_as.rglob("*") if f.suffix in (".safetensors", ".gguf"))
    return AnyMerge(folder, notes, save_as, round(size / 1e9, 6))


def _base_folder(name: str, given: bool, hub: str, offline: bool) -> Path:
    """The folder of a base, fetched where its name is a hub's id.

    Args:
        name: folder or hub id.
        given: whether the user named it, and not adapter_config.json.
    """
    try:
        return resolve_model(name, hub, offline)
    except TuneserveError as error:
        if given:
            raise
        raise ConfigError(
            f"the base that adapter_config.json names, {name}, cannot be used: {error.message}",
            "give the folder or the hub id of the 16-bit base with --base",
        ) from error


def _run_of(adapter: Path) -> RunDir | None:
    """The run whose adapter it is; None of any other adapter."""
    run = RunDir(adapter.resolve().parent)
    return run if adapter.resolve() == run.adapter and run.manifest_file.is_file() else None


def _write(adapter: Path, export: Export, fmt: Format, quant: str, device: str, scale: float) -> None:
    if fmt == "vllm":
        merge_adapter(adapter, export, device, scale)
        return
    tensors = MergedTensors(plan_merge(export.model, adapter, scale), torch.device("cpu"))
    tensors.device = pick_device(device, max(spec.nbytes for spec in tensors.specs()))
    tensors.refuse_unchanged(adapter)
    if fmt == "gguf":

        def beside(folder: Path, file: str) -> None:
            write_modelfile(folder, _modelfile(export, file))

        export_gguf(tensors, export, export.out.name, quant, beside)
    elif fmt == "int4":
        export_4bit(tensors, export, tensors.device)
    else:
        export_8bit(tensors, export, fmt)


def _modelfile(export: Export, gguf_name: str) -> str | None:
    """The Modelfile of a model whose training rows are not at hand: its template's own default mode."""
    if export.end_token_id is None:
        return None  # it has no chat template
    codec = ChatCodec.load(export.model)
    thinking = codec.facts.family != "none"
    rows = own_rows(codec, thinking)
    return modelfile(export.model, gguf_name, codec, rows, thinking=thinking, system=None)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainer.export.adapter", description=merge_any.__doc__)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("save_as", type=Path)
    parser.add_argument("--format", choices=["vllm", "gguf", "fp8", "int8", "int4"], default="vllm")
    parser.add_argument("--base", help="folder or hub id of the 16-bit base, if the adapter names another")
    parser.add_argument("--quant", default="q8_0", help="number format of a GGUF file")
    parser.add_argument("--scale", type=float, help="the adapter counts so many times as much as it was trained to")
    parser.add_argument("--shard-gb", type=float, default=5.0, help="largest weight file in GB")
    parser.add_argument("--hub", choices=["huggingface", "modelscope"], default="huggingface")
    parser.add_argument("--offline", action="store_true", help="use only what is on this machine")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(arguments)
    return guarded(lambda: _merge(options), options.debug)


def _merge(options: argparse.Namespace) -> None:
    done = merge_any(
        options.adapter,
        options.save_as,
        options.format,
        options.base,
        quant=options.quant,
        shard_gb=options.shard_gb,
        hub=options.hub,
        offline=options.offline,
        scale=options.scale,
    )
    for note in done.notes:
        console.print(f"note: {note}")
    console.print(f"merged: {options.adapter} into {done.base} -> {done.folder} ({done.size_gb:.2f} GB)")


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())

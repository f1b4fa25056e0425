"""Merging any PEFT adapter, not only a run's: `tuneserve merge --model ADAPTER --save-as DIR --format vllm|gguf`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from configs.errors import ConfigError
from configs.models import resolve_model
from trainer.gguf import GgufResult, export_gguf
from trainer.merge import MergeResult, check_sources, merge_adapter, pick_device
from trainer.merge_output import shown_progress
from trainer.merge_plan import plan_merge, read_adapter_config
from trainer.merge_tensors import MergedTensors
from trainer.template import ChatCodec

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
    result: MergeResult | GgufResult


def merge_any(
    adapter: Path,
    save_as: Path,
    fmt: Literal["vllm", "gguf"] = "vllm",
    base: str | None = None,
    *,
    quant: str = "q8_0",
    shard_gb: float = 5.0,
    hub: str = "huggingface",
    offline: bool = False,
    device: str = "auto",
) -> AnyMerge:
    """Merges an adapter into its base and writes 16-bit weights or a GGUF file.

    Args:
        adapter: folder with adapter_config.json and adapter_model.safetensors.
        save_as: folder to write; must not exist or be empty.
        base: folder or hub id of the 16-bit base; by default the one that adapter_config.json names.
        quant: number format of a GGUF file.

    Raises:
        ConfigError: adapter or base cannot be found or used, or `save_as` holds files.
        TuneserveError: they do not fit each other, the download failed, or the disk is full.
    """
    config = read_adapter_config(adapter)
    notes = []
    name = base or config.base_model_name_or_path
    if not name:
        raise ConfigError(f"{adapter}: adapter_config.json names no base model", "give it with --base")
    if base is None and not Path(name).is_dir() and QUANTIZED_NAME.search(name):
        original = QUANTIZED_NAME.sub("", name)
        notes.append(f"the adapter was trained on {name}; merging into the 16-bit {original}")
        name = original
    try:
        folder = resolve_model(name, hub, offline)
    except ConfigError as error:
        if base is not None:
            raise
        raise ConfigError(
            f"the base that adapter_config.json names cannot be used: {error.message}",
            "give the folder or the hub id of the 16-bit base with --base",
        ) from error
    try:
        end_token_id = ChatCodec.load(folder).facts.end_token_id
    except ConfigError as error:
        end_token_id = None
        notes.append(f"no end-of-turn token was added to generation_config.json: {error.message}")
    own = adapter / "chat_template.jinja"
    if own.is_file() and own.read_bytes() != _bytes(folder / "chat_template.jinja"):
        notes.append(f"{own} differs from the base's template; the base's is the one that was copied")

    with shown_progress(f"merge to {fmt}") as on_progress:
        result: MergeResult | GgufResult
        if fmt == "vllm":
            result = merge_adapter(
                folder,
                adapter,
                save_as,
                shard_gb=shard_gb,
                device=device,
                on_progress=on_progress,
                end_token_id=end_token_id,
            )
        else:
            check_sources(folder, adapter)
            plan = plan_merge(folder, adapter)
            largest = max((spec.nbytes for spec in MergedTensors(plan, torch.device("cpu")).specs()), default=0)
            tensors = MergedTensors(plan, pick_device(device, largest))
            result = export_gguf(
                tensors,
                folder,
                save_as,
                name=save_as.resolve().name,
                quant=quant,
                end_token_id=end_token_id,
                on_progress=on_progress,
            )
    return AnyMerge(folder, notes, result)


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None

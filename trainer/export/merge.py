"""From adapter to weights that a server loads: into the original 16-bit base, in fp32, one tensor at a time.

Memory holds the layer at hand and the pages of one shard, never the model, with or without a GPU. A kill leaves a
`.partial` folder beside the result and nothing else; the next merge removes it.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.export.changes import plan_merge
from trainer.export.new_folder import Export, new_folder
from trainer.export.safetensors import write_weights
from trainer.export.side_files import (
    Diff,
    check_sources,
    copy_side_files,
    side_files,
    write_generation_config,
    write_model_config,
)
from trainer.export.tensors import MergedTensors


@dataclass(frozen=True)
class MergeResult:
    """What a merge wrote."""

    folder: Path
    seconds: float
    peak_gb: float
    """Largest resident memory of this process so far, in GB of 1e9 bytes; pages of mapped files count."""
    size_gb: float
    """Size of the weights, in GB of 1e9 bytes."""
    changed: int
    """Tensors that training changed."""
    copied: int
    """Tensors that are the base's."""
    device: str
    """Where the arithmetic happened."""
    generation_config_diff: Diff
    """What differs from the base's generation_config.json."""
    config_diff: Diff
    """What differs from the base's config.json."""


def merge_adapter(adapter: Path, export: Export, device: str = "auto", scale: float = 1.0) -> MergeResult:
    """Merges a PEFT adapter, or fully trained weights, into its base and writes a complete model folder.

    Args:
        adapter: a PEFT LoRA adapter folder, or a model folder whose weights were all trained.
        export: its `model` is the original 16-bit base.
        device: where the arithmetic happens: `cpu`, `cuda`, or `auto` (a GPU with room for the largest layer).
        scale: the adapter counts so many times as much as it was trained to.

    Raises:
        ConfigError: base, adapter or the folder to write cannot be used.
        TuneserveError: they do not fit each other, or the disk is full.
    """
    started = time.monotonic()
    base, adapter = export.model, adapter.resolve()
    check_sources(base, adapter)
    plan = plan_merge(base, adapter, scale)
    tensors = MergedTensors(plan, torch.device("cpu"))
    specs = tensors.specs()
    tensors.device = pick_device(device, max(spec.nbytes for spec in specs))
    tensors.refuse_unchanged(adapter)
    size = sum(spec.nbytes for spec in specs)

    needed = size + sum((base / f).stat().st_size for f in side_files(base))
    with new_folder(export.out, needed, export.redo) as partial:
        write_weights(tensors, partial, export.shard_gb, export.on_progress)
        copy_side_files(base, partial)
        generation_diff = write_generation_config(base, partial, export.end_token_id)
        config_diff = write_model_config(base, partial, plan.untied)
        export.put_beside(partial)
    return MergeResult(
        folder=export.out,
        seconds=round(time.monotonic() - started, 2),
        peak_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        size_gb=round(size / 1e9, 6),
        changed=len(plan.changes),
        copied=len(specs) - len(plan.changes),
        device=tensors.device.type,
        generation_config_diff=generation_diff,
        config_diff=config_diff,
    )


def pick_device(device: str, largest_bytes: int) -> torch.device:
    """`auto` takes a GPU with room for the largest 16-bit tensor three times over in fp32, else the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > 8 * largest_bytes:
        return torch.device("cuda")
    return torch.device("cpu")

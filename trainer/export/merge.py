"""From adapter to weights that a server loads: into the original 16-bit base, in fp32, one tensor at a time.

    python -m trainer merge runs/NAME

Memory holds the layer at hand and the pages of one shard, never the model, with or without a GPU. A kill leaves a
`.partial` folder beside the result and nothing else; the next merge removes it.
"""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from configs.adapter_scale import check_scale, require_stored
from configs.console import again, done, skipped
from configs.errors import ConfigError, TuneserveError
from configs.fingerprint import files_fingerprint, weights_fingerprint
from configs.handover.base import read_rows
from configs.handover.rows import ParityRow
from configs.handover.training import PreparedFacts
from configs.model_files import weight_files
from configs.rundir import RunDir
from configs.schema import RunConfig
from trainer.data.template import ChatCodec
from trainer.export.changes import index_weights, plan_merge
from trainer.export.gguf import export_gguf
from trainer.export.modelfile import modelfile, own_rows, write_modelfile
from trainer.export.new_folder import Export, new_folder, shown_progress
from trainer.export.safetensors import write_weights
from trainer.export.side_files import (
    Diff,
    copy_side_files,
    side_files,
    side_files_fingerprint,
    write_generation_config,
    write_model_config,
)
from trainer.export.tensors import MergedTensors, TensorReader


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


def merge_run(run: RunDir, config: RunConfig, force: bool = False) -> None:
    """The stage `merge` of a run: RUN/adapter into the run's base, to RUN/merged, and RUN/gguf where it is asked for.

    Raises:
        TuneserveError: the run has not been trained, or the merge failed.
    """
    if not run.adapter.is_dir():
        raise TuneserveError(f"{run.path}: has no adapter yet", f"tuneserve train {run.config_file}")
    check_scale(config)
    facts = run.prepared()
    base, scale = facts.base_model, run.scale()
    check_sources(base, run.adapter)
    require_stored(run, scale)
    inputs = {
        "adapter": files_fingerprint(sorted(f for f in run.adapter.iterdir() if f.suffix in (".json", ".safetensors"))),
        "base.weights": weights_fingerprint(base),
        "base.files": side_files_fingerprint(base),
        "end_token_id": facts.end_token_id,
        "merge.shard_gb": config.merge.shard_gb,
        "merge.scale": scale,
    }
    why = "forced" if force else run.changed_since("merge", inputs)
    if why is None:
        skipped("merge")
    else:
        again("merge", why)
        _merge_stage(run, config, facts, scale, inputs)
    if "gguf" in config.merge.formats:
        gguf_run(run, config, facts, force)


def gguf_run(run: RunDir, config: RunConfig, facts: PreparedFacts, force: bool = False) -> None:
    """The stage `gguf` of a run: RUN/merged to RUN/gguf/NAME-QUANT.gguf.

    Raises:
        TuneserveError: the run has not been merged, or the file cannot be written.
    """
    quant = config.merge.gguf_quant
    if not (run.merged / "config.json").is_file():
        raise TuneserveError(f"{run.path}: has no merged weights yet", f"tuneserve merge {run.path}")
    trained = run.data / "parity.jsonl"
    inputs = {
        "merged.weights": weights_fingerprint(run.merged),
        "merged.files": side_files_fingerprint(run.merged),
        "end_token_id": facts.end_token_id,
        "quant": quant,
        "thinking": facts.thinking,
        "system": facts.system,
        "parity_rows": files_fingerprint([trained] if trained.is_file() else []),
    }
    if not force and run.changed_since("gguf", inputs) is None:
        skipped("gguf")
        return
    with run.stage("gguf", inputs, [run.gguf]) as record, shown_progress("gguf") as on_progress:
        export = Export(run.merged, run.gguf, facts.end_token_id, on_progress=on_progress, redo=True)
        result = export_gguf(TensorReader(index_weights(weight_files(run.merged))), export, config.name, quant)
        codec = ChatCodec.load(run.merged)
        rows = read_rows(trained, ParityRow, "data") if trained.is_file() else own_rows(codec, facts.thinking)
        text = modelfile(
            run.merged,
            result.file.name,
            codec,
            rows,
            thinking=facts.thinking,
            system=facts.system,
        )
        write_modelfile(run.gguf, text)
        record.figures = {"file": result.file.name, "size_gb": result.size_gb, "tensors": result.tensors}
    done("gguf", run.read().stages["gguf"].seconds or 0.0, f"{result.file} ({result.size_gb:.2f} GB)")


def _merge_stage(run: RunDir, config: RunConfig, facts: PreparedFacts, scale: float, inputs: dict[str, Any]) -> None:
    with run.stage("merge", inputs, [run.merged]) as record, shown_progress("merge") as on_progress:
        export = Export(facts.base_model, run.merged, facts.end_token_id, config.merge.shard_gb, on_progress, redo=True)
        result = merge_adapter(run.adapter, export, scale=scale)
        record.figures = {name: value for name, value in asdict(result).items() if name != "folder"} | {"scale": scale}
    summary = (
        f"{result.changed} tensors changed, {result.copied} copied, {result.size_gb:.2f} GB "
        f"on the {result.device}, peak {result.peak_gb:.1f} GB"
    )
    if scale != 1:
        summary = f"{summary}; the adapter counts {scale:g} times as much"
    done("merge", run.read().stages["merge"].seconds or 0.0, summary)


def check_sources(base: Path, adapter: Path) -> None:
    """Raises a ConfigError when the base or the adapter is not where it should be."""
    if not (base / "config.json").is_file():
        raise ConfigError(f"base model {base}: no config.json there", "give the folder of the 16-bit base model")
    if not adapter.is_dir():
        raise ConfigError(f"adapter {adapter}: no such folder", "train first, or give the folder of the adapter")


def pick_device(device: str, largest_bytes: int) -> torch.device:
    """`auto` takes a GPU with room for the largest 16-bit tensor three times over in fp32, else the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > 8 * largest_bytes:
        return torch.device("cuda")
    return torch.device("cpu")

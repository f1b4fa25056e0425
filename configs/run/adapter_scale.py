"""How much an adapter counts: the scales that `merge.scale: auto` tries, what cannot be scaled, and a scaled adapter.

A LoRA adapter adds `alpha / r * B A` to a weight. To count s times as much is to have `s * alpha` in its configuration,
which is WiSE-FT's line between the base's weights and the tuned ones (Wortsman et al. 2022). PEFT and vLLM both read it
so, with rsLoRA and with `alpha_pattern` too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.disk.files import write_atomically
from configs.errors import ConfigError
from configs.handover.base import read_rows
from configs.handover.rows import ProofRow
from configs.model.adapter_weights import ADAPTER_WEIGHTS
from configs.model.files import read_json
from configs.recipe.schema import SERVED_LAYERS, SERVED_RANKS, RunConfig
from configs.run.merged import adapter_hash, require_trained
from configs.run.rundir import RunDir
from configs.terminal.console import shell

SCALES = (0.3, 0.5, 0.7, 0.85, 1.0)
"""The scales that `auto` tries, and for which training stores the proof's likelihoods.

What is learned rises steeply up to one half and flattens towards 1, while what is forgotten keeps growing: the choice
lies between 0.5 and 1 and needs the finer steps there. Steps below 0.15 change less than the held-out rows of a usual
run can tell. 0.3 is hardly ever worth its loss; it shows where the curve comes from.
"""
CONFIG = "adapter_config.json"


def why_unscalable(adapter: Mapping[str, Any]) -> str | None:
    """Why an adapter with this adapter_config.json cannot count s times as much; None where it can."""
    if adapter.get("use_dora"):
        return "a DoRA adapter divides by the length of the new weights, so that a part of it is no part of its change"
    if adapter.get("modules_to_save"):
        return "whole layers (modules_to_save) take the base's place and are not added to it"
    if adapter.get("bias", "none") != "none":
        return "trained biases take the base's place and are not added to it"
    return None


def why_recipe_unscalable(config: RunConfig) -> str | None:
    """Why what a recipe trains cannot count s times as much; None where it can."""
    if config.train.method == "full":
        return "full training (train.method: full) has no adapter that could count less"
    lora = config.lora
    return why_unscalable({"use_dora": lora.dora, "modules_to_save": lora.modules_to_save, "bias": lora.bias})


def possible_scales(config: RunConfig) -> list[float]:
    """The scales that the adapter of a recipe may come to count with: those of `auto`, and the recipe's own."""
    if why_recipe_unscalable(config):
        return [1.0]
    own = {config.merge.scale} if config.merge.scale != "auto" else set()
    return sorted({*SCALES, *own})


def check_scale(config: RunConfig) -> None:
    """Raises a ConfigError where a recipe scales what cannot be scaled, or `auto` could not choose."""
    scale = config.merge.scale
    if scale == 1:
        return
    why = why_recipe_unscalable(config)
    if why:
        raise ConfigError(f"merge.scale is {scale}: {why}", "leave merge.scale at 1.0, or train a plain LoRA adapter")
    if scale != "auto":
        return
    others = [name for name in config.lora.named_modules if name.rpartition(".")[2] not in SERVED_LAYERS]
    if others:
        raise ConfigError(
            f"merge.scale is auto: it serves adapters beside the base, and vLLM adds none to {', '.join(others)}",
            "leave them out of lora.target_modules, or give a number for merge.scale",
        )
    if config.lora.r > SERVED_RANKS[-1]:
        raise ConfigError(
            f"merge.scale is auto: it serves adapters beside the base, and lora.r {config.lora.r} is above "
            f"{SERVED_RANKS[-1]}, vLLM's largest",
            "lower lora.r, or give a number for merge.scale",
        )


def require_stored(run: RunDir, scale: float) -> None:
    """Raises a TuneserveError where training stored no likelihoods at this scale, so that nothing could be proved."""
    file = run.data / "proof.jsonl"
    for row in read_rows(file, ProofRow, "train") if file.is_file() else ():
        row.at(scale)


def scaled_alphas(alpha: float, pattern: Mapping[str, float] | None, scale: float) -> tuple[float, dict[str, float]]:
    """`lora_alpha` and `alpha_pattern` of an adapter that counts `scale` times as much."""
    return alpha * scale, {key: own * scale for key, own in (pattern or {}).items()}


def write_scaled(adapter: Path, folder: Path, scale: float) -> Path:
    """Makes `folder` the adapter in `adapter`, counting `scale` times as much; its weights are a link."""
    config = read_json(adapter / CONFIG)
    config["lora_alpha"], config["alpha_pattern"] = scaled_alphas(
        config["lora_alpha"], config.get("alpha_pattern"), scale
    )
    if folder.is_symlink():  # to where an adapter may lie that is not ours
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / ADAPTER_WEIGHTS
    # Relative, so that the folder of a run can be moved.
    target = os.path.relpath((adapter / ADAPTER_WEIGHTS).resolve(), folder.resolve())
    if not (link.is_symlink() and os.readlink(link) == target):
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(target)
        except OSError:  # a disk without links
            shutil.copyfile(adapter / ADAPTER_WEIGHTS, link)
    write_atomically(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    return folder


def adapter_scale(run: RunDir) -> float:
    """How much the adapter that a run has now counts.

    Raises:
        ConfigError: `merge.scale: auto` has not chosen yet, or for an adapter that was trained before this one.
    """
    manifest = run.read()
    chosen = manifest.stages.get("scale")
    if manifest.config.merge.scale == "auto" and chosen is not None:
        known = chosen.inputs.get("adapter")
        if known is not None and known != adapter_hash(run):
            raise ConfigError(
                f"{run.path}: was trained again since merge.scale: auto chose how much its adapter counts",
                f"`{shell('tuneserve', 'merge', run.path)}` serves the scales and chooses",
            )
    return run.scale()


def whole_weights(run: RunDir) -> ConfigError:
    """What is said where an adapter is asked for of a run that has none."""
    return ConfigError(f"{run.path}: has no adapter, but whole weights", shell("tuneserve", "serve", run.path))


def served_adapter(run: RunDir) -> Path:
    """The adapter of a run as it counts, for a server: its own folder, or one beside it where it is scaled.

    Raises:
        ConfigError: `merge.scale: auto` has not chosen yet, the run's training did not finish, or it has no adapter.
    """
    require_trained(run)
    if not (run.adapter / CONFIG).is_file():
        config = run.read().config
        if config.train.method == "full" or run.merged.is_dir():
            raise whole_weights(run)
        raise ConfigError(f"{run.path}: has no adapter yet", shell("tuneserve", "train", run.config_file))
    scale = adapter_scale(run)
    if scale == 1:
        return run.adapter
    return write_scaled(run.adapter, run.scaled_adapter, scale)

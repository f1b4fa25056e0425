"""Whether the merged weights of a run are those of its adapter, and its answers those of its merged weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.model.files import read_json
from configs.model.fingerprint import (
    files_fingerprint,
    prompt_files,
    tokenizer_fingerprint,
    weights_digest,
    weights_fingerprint,
)
from configs.recipe.schema import RunConfig
from configs.run.manifest import Manifest, Stage
from configs.run.rundir import CARD, RunDir
from configs.terminal.console import shell

_CHANGE_NOTHING = frozenset(
    {"data.max_dropped", "data.workers", "train.num_gpus", "train.report_to", "train.save_total_limit"}
)
"""Keys of a recipe that leave what is trained as it is."""
_MOST_BYTES = 256 << 30
"""More than any adapter, or any model that was trained whole: nobody waits until that much is read."""
_QUICK_BYTES = 4 << 30
"""What a list reads of an adapter that may be another, before it takes it for one."""


def adapter_hash(run: RunDir) -> str:
    """What identifies the adapter of a run, or the weights that were trained whole, for the stage `merge`."""
    files = (f for f in run.adapter.iterdir() if f.suffix in (".json", ".safetensors") and f.is_file())
    return files_fingerprint(sorted(files))


def has_adapter(run: RunDir) -> bool:
    """Whether an adapter lies in a run, or weights that were trained whole, under a model's name of a configuration."""
    return any((run.adapter / name).is_file() for name in ("adapter_config.json", "config.json"))


def _trained_since(run: RunDir, merge: Stage, most_bytes: int = _MOST_BYTES) -> bool:
    """Whether the adapter is another than the one that was merged; one that was removed since is not."""
    there = has_adapter(run)
    if there and sum(file.stat().st_size for file in run.adapter.iterdir() if file.is_file()) > most_bytes:
        return True
    return there and merge.inputs.get("adapter", "") not in ("", adapter_hash(run))


def has_other_answers(run: RunDir, manifest: Manifest) -> bool:
    """Whether the tuned model's answers, its proof and its scores are of other weights than the run has now."""
    merge, tuned = manifest.stages.get("merge"), manifest.stages.get("tuned")
    if merge is None and manifest.config.foreign:  # what a judgement was given is merged already
        merge = manifest.stages.get("foreign")
        try:
            require_trained(run)
        except ConfigError:
            return tuned is not None
    if merge is None or tuned is None or "merged_weights" not in tuned.inputs:
        return False
    train = manifest.stages.get("train")
    if merge.state != "done" or (train is not None and (train.state != "done" or _other_recipe(manifest))):
        return True
    if _other_base(manifest):
        return True
    if _other_scale(manifest, merge):
        return True
    if train is not None and "training" in merge.figures:
        if merge.figures["training"] != training(train):
            return True
    # Of an older merge a list reads no more than this, and nothing where it cannot be another.
    elif train is not None and train.started >= merge.started and _trained_since(run, merge, _QUICK_BYTES):
        return True
    if not (run.merged / "config.json").is_file():  # it was removed to make room
        return bool(tuned.figures.get("made_of", origin(merge)) != origin(merge))
    written = sorted((Path(path), output) for path, output in merge.outputs.items() if path.endswith(".safetensors"))
    files = [(path.name, output.size, output.blake3) for path, output in written]
    if not files and manifest.config.foreign:  # links to weights of which nothing was written down
        return False
    return bool(tuned.inputs["merged_weights"] != weights_digest(run.merged, files))


def _other_base(manifest: Manifest) -> bool:
    """Whether the base's answers are of other weights than the run was trained on, or judged against."""
    asked = manifest.stages["base"].inputs.get("base_weights") if "base" in manifest.stages else None
    known = _trained_on(manifest)
    return None not in (asked, known) and asked != known


def _trained_on(manifest: Manifest) -> str | None:
    """The fingerprint of the base's weights that a run was trained on, or judged against."""
    for stage, key in (("foreign", "base.weights"), ("train", "base_model")):
        if stage in manifest.stages:
            known: str | None = manifest.stages[stage].inputs.get(key)
            return known
    return None


def has_other_scores(run: RunDir, manifest: Manifest) -> bool:
    """Whether a report that lies in the run is of weights that it had before, or its model is still being asked."""
    tuned = manifest.stages.get("tuned")
    return tuned is None or tuned.state != "done" or has_other_answers(run, manifest)


def trained_recipe(manifest: Manifest) -> dict[str, Any]:
    """What decides what is trained, by key of the recipe, and its data; a training that is skipped notes it anew."""
    keys = _by_key(manifest.config, {"data", "lora", "train"})
    decisive = {key: value for key, value in keys.items() if key not in _CHANGE_NOTHING}
    decisive |= manifest.config.model_dump(mode="json", include={"model", "thinking", "seed"})
    if "data" in manifest.hashes:
        decisive["hashes.data"] = manifest.hashes["data"][:12]
    return decisive


def _by_key(config: RunConfig, sections: set[str]) -> dict[str, Any]:
    """What these sections of a recipe hold, by `section.key`."""
    found = config.model_dump(mode="json", include=sections)
    return {f"{name}.{key}": value for name, section in found.items() for key, value in section.items()}


def _other_recipe(manifest: Manifest) -> tuple[str, Any, Any] | None:
    """The first key of the recipe that is another than what was trained: (key, before, now)."""
    before, now = manifest.facts.trained.recipe if manifest.facts.trained else {}, trained_recipe(manifest)
    # A key that another version has or has not tells nothing.
    shared = sorted(before.keys() & now.keys())
    return next(((key, before[key], now[key]) for key in shared if before[key] != now[key]), None)


def require_trained(run: RunDir, *, contents: bool = True) -> None:
    """Refuses an adapter that is not what the run's training wrote, and has not just been removed.

    Args:
        contents: whether every byte is compared, not sizes alone.

    Raises:
        ConfigError: the run is being trained again, or is to be, so that its adapter is of an earlier recipe, or it is
            damaged.
    """
    manifest = run.read()
    if manifest.config.foreign is not None:
        _require_looked_at(run, manifest)
    stage = manifest.stages.get("train")
    if stage is None:
        return
    if stage.state != "done":
        raise ConfigError(
            f"{run.path}: its training did not finish, and the adapter that lies there is of one before",
            f"finish it: `{shell('tuneserve', 'train', run.config_file)}`",
        )
    if changed := _other_recipe(manifest):
        key, before, now = changed
        raise ConfigError(
            f"{run.path}: was trained with {key} {before!r}, which is {now!r} by now: a command with another recipe "
            "or other data did not finish",
            f"finish it: `{shell('tuneserve', 'train', run.config_file)}`; or give `train` the recipe as it was",
        )
    train, merge = shell("tuneserve", "train", run.config_file), shell("tuneserve", "merge", "--model", run.adapter)
    step = f"train again: `{train}`; an adapter that you changed yourself is merged by `{merge} --save-as FOLDER`"
    _require_written(run, "train", run.adapter, step, contents=contents)


def _require_written(run: RunDir, stage: str, folder: Path, step: str, *, contents: bool) -> None:
    """Refuses a folder that is not what a stage wrote, or linked; one that was removed, to make room, may be."""
    outputs = run.read().stages[stage].outputs
    written = [path for path in outputs if path.startswith(f"{folder.name}/") and not path.endswith(CARD)]
    if any((run.path / path).exists() for path in written):
        for path, why in run.changed_outputs(stage, contents=contents):
            if path in written:
                raise ConfigError(f"{run.path}: {path} {why}", step)


def require_base(run: RunDir, base: Path) -> None:
    """Refuses a base whose weights, config.json or tokenizer are not those that a run was trained on.

    Raises:
        ConfigError: they are others, or gone.
    """
    if not (base / "config.json").is_file():
        raise ConfigError(f"{base}: is not there, and {run.path} was trained on it", base_elsewhere(run))
    manifest = run.read()
    stages, known = manifest.stages, _trained_on(manifest)
    step = f"put those back, or train on these: {shell('tuneserve', 'train', run.config_file)}"
    if "foreign" in stages:
        step = f"put those back, or judge it against these: {shell('tuneserve', 'judge', run.path)}"
    if known is not None and known != weights_fingerprint(base):
        raise ConfigError(f"{base}: weights or config.json are not those that {run.path} was trained on", step)
    # The parity of some conversations need not meet what was changed.
    known = stages["data"].inputs.get("tokenizer") if "data" in stages else None
    if known is not None and known != tokenizer_fingerprint(base):
        raise ConfigError(f"{base}: tokenizer or chat template are not those that {run.path} was trained with", step)


def base_elsewhere(run: RunDir) -> str:
    """The next step where the base of a run is gone: a base is known by its weights, wherever it lies."""
    config = run.read().config
    first = ("judge", run.path) if config.foreign else ("train", run.config_file)
    key = "train.continue_from" if config.train.continue_from else "model"
    return f"say where it lies by now, and nothing is trained anew: `{shell('tuneserve', *first)} {key}=FOLDER`"


def _require_looked_at(run: RunDir, manifest: Manifest) -> None:
    """Refuses a judgement whose model is not the one that its recipe names by now."""
    stage = manifest.stages.get("foreign")
    if stage is None:
        return
    keys = _by_key(manifest.config, {"data", "foreign"})
    # Of a template the stage notes the content.
    shared = sorted((stage.inputs.keys() & keys.keys()) - _CHANGE_NOTHING - {"foreign.template"})
    changed = next((key for key in shared if stage.inputs[key] != keys[key]), None)
    judge = f"judge it: `{shell('tuneserve', 'judge', run.path)}`"
    if changed is not None:
        raise ConfigError(f"{run.path}: was judged with another {changed} than its recipe has by now", judge)
    if stage.state != "done":
        raise ConfigError(f"{run.path}: the look at its model did not finish", judge)
    for folder in (run.adapter, run.merged):  # links to what others write
        _require_written(run, "foreign", folder, judge, contents=True)


def require_current(run: RunDir, *, contents: bool) -> None:
    """Refuses merged weights that are not what the run's adapter gives.

    Args:
        contents: whether every byte is compared with what was written, not sizes alone.

    Raises:
        ConfigError: the merge did not finish, files of it are gone or changed, or the run was trained again since.
    """
    require_trained(run, contents=contents)
    stage = run.read().stages.get("merge")
    if stage is None:  # what a judgement was given is merged already
        return
    again = f"merge again: `{shell('tuneserve', 'merge', run.path)}`"
    if stage.state != "done":
        raise ConfigError(f"{run.path}: its merge did not finish", again)
    if damage := next(run.changed_outputs("merge", contents=contents), None):
        raise ConfigError(f"{run.path}: {' '.join(damage)}", again)
    added = (file for file in prompt_files(run.merged) if str(file.relative_to(run.path)) not in stage.outputs)
    if file := next(added, None):
        raise ConfigError(f"{file}: was not merged, and would make other prompts of conversations", "move it elsewhere")
    if _trained_since(run, stage):
        raise ConfigError(f"{run.path}: was trained again since its weights were merged", again)
    if scale := _other_scale(run.read(), stage):
        raise ConfigError(f"{run.path}: its weights were merged with another merge.scale than {scale}", again)


def _other_scale(manifest: Manifest, merge: Stage) -> str:
    """The scale of the recipe, or what its `auto` chose, where the weights were merged with another."""
    scale = manifest.config.merge.scale
    if scale == "auto" and (chosen := manifest.scaled()):
        scale = chosen.scale
    return str(scale) if merge.inputs.get("merge.scale", scale) != scale else ""


def has_other_gguf(run: RunDir) -> bool:
    """Whether the run's GGUF file is not of its weights as they are now, or is not finished, or changed."""
    stages = run.read().stages
    stage, merge = stages.get("gguf"), stages.get("merge")
    if stage is None:
        return False
    if stage.state != "done" or any(run.changed_outputs("gguf")):
        return True
    if (run.merged / "config.json").is_file():
        return stage.inputs.get("merged.weights") != weights_fingerprint(run.merged)
    # Where the merged weights were removed to make room, what they were made of tells.
    if merge is None:
        return False
    other = stage.figures.get("made_of", origin(merge)) != origin(merge)
    return other or merge.state != "done" or _trained_since(run, merge)


EXPORTED = ".tuneserve-export.json"
"""In a folder that was exported from a run's adapter: what it was made of. Hidden, so that no merge hands it on."""


def export_note(adapter: str, scale: float) -> dict[str, bytes]:
    """The file, by its name, that says in an exported folder what that was made of.

    Args:
        adapter: its `adapter_hash` before it was read: the run may be trained again meanwhile.
    """
    return {EXPORTED: json.dumps({"adapter": adapter, "merge.scale": scale}).encode() + b"\n"}


def require_exported(folder: Path, run: RunDir) -> None:
    """Refuses a folder that was exported from an adapter that a run had before; one that says nothing passes.

    The proof alone would let it pass: rounded weights have a wide bound, within which trainings that are alike lie.

    Raises:
        ConfigError: it is of another adapter or scale, or its note is damaged.
    """
    if not (folder / EXPORTED).is_file():
        return
    made_of = read_json(folder / EXPORTED)
    if (made_of.get("adapter"), made_of.get("merge.scale")) != (adapter_hash(run), run.scale()):
        merge = shell("tuneserve", "merge", "--model", run.adapter)
        raise ConfigError(
            f"{folder}: was exported from another adapter or scale than {run.path} has by now",
            f"make the export again: `{merge} --save-as FOLDER --format ...`",
        )


def origin(merge: Stage) -> dict[str, Any]:
    """What the merged weights were made of, for stages that may be asked when those are removed."""
    return {key: merge.inputs.get(key) for key in ("adapter", "merge.scale")}


def training(train: Stage) -> str:
    """What identifies the adapter that a training wrote, for the stage `merge`: no clock, and nothing is read."""
    adapter = {path: output for path, output in train.outputs.items() if path.startswith("adapter/")}
    written = sorted((path, out.blake3) for path, out in adapter.items() if path.endswith((".json", ".safetensors")))
    return hashlib.sha256(repr(written).encode()).hexdigest()

"""What was handed to `tuneserve judge`: merged weights or an adapter, who made it, and how a run directory holds it.

Nothing is copied: the run's `adapter/` or `merged/` holds links to the files that a server or a merge reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.disk.files import file_bytes, remove_folder
from configs.disk.homes import expanded
from configs.errors import ConfigError
from configs.model.adapter_weights import ADAPTER_WEIGHTS
from configs.model.files import READ, read_json, read_model_config
from configs.network.hub import resolve_model
from configs.recipe.schema import ForeignConfig
from trainer.architectures import refuse_own_code
from trainer.export.adapter import QUANTIZED_NAME
from trainer.export.changes import plan_merge
from trainer.export.side_files import side_files

Made = tuple[str, str | None]
"""A trainer, and the name of the template that its files tell of."""


@dataclass(frozen=True)
class Given:
    """What is judged."""

    folder: Path
    """The folder that was named."""
    merged: Path | None
    """Merged weights, where that is what was given; they are served as they are."""
    adapter: Path | None
    """The adapter: what was given, or what a merged model was made with."""

    @property
    def kind(self) -> str:
        """`adapter`, `merged`, or `merged with adapter`."""
        if self.merged is None:
            return "adapter"
        return "merged" if self.adapter is None else "merged with adapter"


def given(foreign: ForeignConfig, base: Path, hub: str, offline: bool) -> Given:
    """Opens what is judged, and refuses what could not be held against the base.

    Raises:
        ConfigError: the folder is neither a model nor an adapter, its weights are quantized, or the adapter is of a
            kind that cannot be merged.
        TuneserveError: adapter and base do not fit each other.
    """
    folder = expanded(foreign.model)
    if (folder / "adapter_config.json").is_file() and not list(folder.glob("model*.safetensors")):
        if foreign.adapter is not None:
            raise ConfigError(f"{folder}: is an adapter itself, and --adapter names another", "leave --adapter out")
        plan_merge(base, folder)
        return Given(folder.resolve(), None, folder.resolve())
    merged = resolve_model(foreign.model, hub, offline)
    refuse_own_code(merged)
    quantized = read_model_config(merged).get("quantization_config")
    if quantized is not None:
        raise ConfigError(
            f"{merged}: its weights are quantized ({quantized.get('quant_method', 'unknown method')}); what training "
            "changed cannot be read from them",
            "judge the 16-bit weights or the adapter they were made from; `tuneserve serve DIR --against RUN` then "
            "holds the quantized copy against that run",
        )
    plan_merge(base, merged)
    adapter = expanded(foreign.adapter).resolve() if foreign.adapter else None
    if adapter is not None:
        plan_merge(base, adapter)
    return Given(merged, merged, adapter)


def made_by(folder: Path) -> Made | None:
    """The trainer whose files lie in a folder, None where none of those known here left any."""
    return next((found for look in (_swift, _llamafactory, _axolotl, _unsloth) if (found := look(folder))), None)


def _swift(folder: Path) -> Made | None:
    arguments = read_json(folder / "args.json")
    known = {"template", "model_type"} <= arguments.keys()
    return ("ms-swift", str(arguments["template"])) if known else None


def _llamafactory(folder: Path) -> Made | None:
    tagged = "llama-factory" in _card(folder)
    return ("LLaMA-Factory", None) if tagged or (folder / "trainer_log.jsonl").is_file() else None


def _axolotl(folder: Path) -> Made | None:
    return ("Axolotl", None) if "axolotl" in _card(folder).lower() else None


def _unsloth(folder: Path) -> Made | None:
    config, adapter = read_json(folder / "config.json"), read_json(folder / "adapter_config.json")
    marked = "unsloth_version" in config or "unsloth_fixed" in {**config, **(adapter.get("auto_mapping") or {})}
    return ("Unsloth", None) if marked or "unsloth" in _card(folder).lower() else None


def _card(folder: Path) -> str:
    file = folder / "README.md"
    return file_bytes(file)[:80_000].decode("utf-8", "replace") if file.is_file() else ""


def other_base(adapter: Path, given: str) -> str | None:
    """The base that an adapter names, where it is another one by its name than what was given.

    A quantized copy is the same, as is a folder that is called like the hub's model.
    """
    named = str(read_json(adapter / "adapter_config.json").get("base_model_name_or_path") or "")
    return named if named and _model_name(named) != _model_name(given) else None


def _model_name(model: str) -> str:
    if cached := re.search(r"models--[^/]+--([^/]+)/snapshots/", model):
        return cached[1].casefold()
    return QUANTIZED_NAME.sub("", Path(model.rstrip("/")).name).casefold()


def link_adapter(adapter: Path, into: Path) -> None:
    """Fills a run's `adapter/`: weights, configuration, and the tokenizer that lies beside them."""
    _link(adapter, into, lambda name: name == ADAPTER_WEIGHTS or not name.endswith((".safetensors", ".bin")))


def link_merged(merged: Path, into: Path) -> None:
    """Fills a run's `merged/` with what a server reads; a model card is not linked, for the run may write its own."""
    beside = {str(name) for name in side_files(merged)}
    _link(merged, into, lambda name: name in beside or name.endswith((".safetensors", ".safetensors.index.json")))


def _link(source: Path, into: Path, wanted: Callable[[str], bool]) -> None:
    remove_folder(into)
    into.mkdir(parents=True)
    for file in sorted({file for pattern in READ for file in source.glob(pattern)}):
        if wanted(file.name):
            (into / file.name).symlink_to(file.resolve())

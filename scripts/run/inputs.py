"""What several stages depend on, for the manifest: a model's files, and how it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.fingerprint import weights_fingerprint
from configs.schema import ServeConfig
from trainer.export.side_files import side_files_fingerprint


def model_inputs(name: str, model: Path) -> dict[str, str]:
    """A model by all that its answers come from: weights, tokenizer, chat template, generation settings."""
    return {f"{name}_weights": weights_fingerprint(model), f"{name}_files": side_files_fingerprint(model)}


def serving_inputs(config: ServeConfig) -> dict[str, Any]:
    """The keys of `serve` that a model's answers depend on."""
    return config.model_dump(mode="json", include={"precision", "batch_invariant", "max_model_len", "args"})

"""What several stages depend on, for the manifest: a model's files, and how it is served."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from configs.model.fingerprint import files_fingerprint, weights_fingerprint
from configs.recipe.schema import ServeConfig
from trainer.export.side_files import side_files_fingerprint


def model_inputs(name: str, model: Path) -> dict[str, str]:
    """A model by all that its answers come from: weights, tokenizer, chat template, generation settings."""
    return {f"{name}_weights": weights_fingerprint(model), f"{name}_files": side_files_fingerprint(model)}


def serving_inputs(config: ServeConfig) -> dict[str, Any]:
    """The keys of `serve` that a model's answers depend on, with what stands in files that its arguments name."""
    named = [word.partition("=")[2] if word.startswith("--") else word for word in config.args]
    files = [Path(word) for word in named if os.path.isfile(word)]
    files += [file for word in named if os.path.isdir(word) for file in sorted(Path(word).glob("*.j*"))]
    return {
        **config.model_dump(mode="json", include={"precision", "batch_invariant", "max_model_len", "args"}),
        **({"files": files_fingerprint(files)} if files else {}),
    }

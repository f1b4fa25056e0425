"""A model folder in the `compressed-tensors` format, which vLLM and transformers load: what 8 and 4 bits share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from compressed_tensors.quantization import QuantizationConfig, QuantizationScheme, QuantizationStatus

from configs.errors import ConfigError
from configs.model.files import read_model_config
from trainer.export.new_folder import Export, new_folder
from trainer.export.safetensors import TensorSource, TensorSpec, write_weights
from trainer.export.side_files import copy_side_files, side_files, write_generation_config, write_model_config

ARCHITECTURES = ("qwen2", "qwen3", "llama")
KEPT = ("embed_tokens.weight", "lm_head.weight")
"""Matrices that stay in 16 bits."""


class CompressedTensors(TensorSource, Protocol):
    """The tensors of a model with its linear layers in fewer bits, made one at a time."""

    scheme: QuantizationScheme
    """How they are rounded, in the library's terms."""
    format: str
    """The library's name for how they are stored."""


def is_compressed(spec: TensorSpec) -> bool:
    """Whether a tensor is the weight (rows, columns) of a linear layer that gets fewer bits."""
    return len(spec.shape) == 2 and not spec.name.endswith(KEPT)


def require_known(model: Path) -> None:
    """Refuses models whose matrices are not all known to be linear layers.

    Raises:
        ConfigError: the architecture is not known here.
    """
    kind = read_model_config(model).get("model_type")
    if kind not in ARCHITECTURES:
        raise ConfigError(
            f"{model}: architecture {kind!r} is not among those written in 8 or 4 bits here "
            f"({', '.join(ARCHITECTURES)})",
            "serve the 16-bit weights with `serve.precision: fp8`, which quantizes while loading",
        )


def write_compressed(tensors: CompressedTensors, export: Export) -> Path:
    """Writes a complete model folder: the weights, a config.json that names the scheme, tokenizer and other files.

    Raises:
        ConfigError: the folder to write holds files.
        TuneserveError: the disk is full.
    """
    model = export.model
    size = sum(spec.nbytes for spec in tensors.specs()) + sum((model / f).stat().st_size for f in side_files(model))
    quantization = QuantizationConfig(
        config_groups={"group_0": tensors.scheme},
        format=tensors.format,
        quantization_status=QuantizationStatus.COMPRESSED,
        ignore=["lm_head"],
    )
    has_head = any(spec.name.endswith("lm_head.weight") for spec in tensors.specs())
    with new_folder(export.out, size, export.redo) as partial:
        write_weights(tensors, partial, export.shard_gb, export.on_progress)
        copy_side_files(model, partial)
        write_generation_config(model, partial, export.end_token_id)
        write_model_config(model, partial, has_head)
        config = read_model_config(partial)
        config["quantization_config"] = quantization.model_dump(mode="json", exclude_none=True)
        (partial / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        export.put_beside(partial)
    return export.out

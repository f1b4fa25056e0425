"""Merged weights in 8 bits, in the `compressed-tensors` format that vLLM and transformers load.

FP8 (for GPUs from Ada and Hopper on) or INT8 (from Turing on): every linear layer but the output head has weights with
one scale a row; activations are quantized while serving, one scale a token, so that no calibration data is needed. The
library defines the schemes and rounds the weights; vLLM's `--quantization fp8` makes much the same while loading, but
needs the 16-bit weights on the disk and in the download.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import preset_name_to_scheme
from compressed_tensors.quantization.utils import calculate_qparams

from trainer.export.compressed import KEPT, is_compressed, require_known, write_compressed
from trainer.export.new_folder import Export
from trainer.export.safetensors import TensorSource, TensorSpec

Kind = Literal["fp8", "int8"]
PRESETS = {"fp8": "FP8_DYNAMIC", "int8": "INT8"}
FORMATS = {"fp8": "float-quantized", "int8": "int-quantized"}
DTYPES = {"fp8": "F8_E4M3", "int8": "I8"}


class EightBitTensors:
    """The tensors of a model with its linear layers in 8 bits, made one at a time."""

    def __init__(self, tensors: TensorSource, kind: Kind) -> None:
        self.tensors, self.kind = tensors, kind
        self.scheme = preset_name_to_scheme(PRESETS[kind], ["Linear"])
        self.format = FORMATS[kind]
        self.compressor = BaseCompressor.get_value_from_registry(self.format)

    def specs(self) -> list[TensorSpec]:
        """Every linear weight becomes an 8-bit weight and a column of fp32 scales."""
        specs = []
        for spec in self.tensors.specs():
            if is_compressed(spec):
                specs.append(TensorSpec(spec.name, DTYPES[self.kind], spec.shape, spec.group))
                specs.append(TensorSpec(spec.name + "_scale", "F32", (spec.shape[0], 1), spec.group))
            else:
                specs.append(spec)
        return specs

    def tensor(self, name: str) -> torch.Tensor:
        """A weight (rows, columns) in 8 bits, its scales (rows, 1), or a tensor that stays as it is."""
        weight = self.tensors.tensor(name.removesuffix("_scale"))
        if weight.ndim != 2 or name.endswith(KEPT):
            return weight
        weight = weight.float()
        low, high = torch.aminmax(weight, dim=1, keepdim=True)
        scale, _ = calculate_qparams(low, high, self.scheme.weights)
        if name.endswith("_scale"):
            return scale.float()
        return self.compressor.compress({"weight": weight, "weight_scale": scale.float()}, self.scheme)["weight"]


def export_8bit(tensors: TensorSource, export: Export, kind: Kind) -> Path:
    """Writes a complete model folder with FP8 or INT8 weights, from merged 16-bit ones.

    Raises:
        ConfigError: the architecture is not known here, or the folder to write holds files.
        TuneserveError: the disk is full.
    """
    require_known(export.model)
    return write_compressed(EightBitTensors(tensors, kind), export)

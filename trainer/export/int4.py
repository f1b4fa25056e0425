"""Merged weights in 4 bits (W4A16), in the `compressed-tensors` format that vLLM and transformers load.

For cards that 8 bits do not fit: every linear layer but the output head has 4-bit weights with one bf16 scale for each
group of 128 columns; activations stay in 16 bits. No calibration data is used: each group's scale is the one, among a
few between its largest weight and three quarters of it, with the smallest squared rounding error. Methods that look at
data (GPTQ, AWQ) lose less; how much this one loses is measured by serving the folder, not assumed.
"""

from __future__ import annotations

from pathlib import Path

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme, preset_name_to_scheme
from compressed_tensors.quantization.utils import calculate_qparams, calculate_range

from configs.errors import ConfigError
from trainer.export.compressed import is_compressed, require_known, write_compressed
from trainer.export.new_folder import Export
from trainer.export.safetensors import TensorSource, TensorSpec

GROUP_SIZES = (128, 64, 32)
"""Columns that share a scale, the largest that divides every layer first; those that vLLM's Marlin kernel takes."""
PACKED = 8
"""4-bit values in an int32."""
SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
"""Shares of a group's largest weight at which its values may be clipped; less clipping error against finer steps."""
_CPU = torch.device("cpu")
PARTS = ("_packed", "_scale", "_shape")
"""What a weight becomes."""


class FourBitTensors:
    """The tensors of a model with its linear layers in 4 bits, made one at a time."""

    format = "pack-quantized"

    def __init__(self, tensors: TensorSource, group_size: int, device: torch.device = _CPU) -> None:
        self.tensors, self._device = tensors, device
        preset = preset_name_to_scheme("W4A16", ["Linear"])
        assert preset.weights is not None
        self.args: QuantizationArgs = preset.weights.model_copy(update={"group_size": group_size})
        self.scheme: QuantizationScheme = preset.model_copy(update={"weights": self.args, "format": self.format})
        self.compressor = BaseCompressor.get_value_from_registry(self.format)
        self._last: tuple[str, dict[str, torch.Tensor]] = ("", {})

    def specs(self) -> list[TensorSpec]:
        """Every linear weight becomes packed 4-bit values, bf16 scales and its shape."""
        specs = []
        for spec in self.tensors.specs():
            if not is_compressed(spec):
                specs.append(spec)
                continue
            rows, columns = spec.shape
            groups = columns // self.args.group_size
            specs += [
                TensorSpec(spec.name + "_packed", "I32", (rows, columns // PACKED), spec.group),
                TensorSpec(spec.name + "_scale", "BF16", (rows, groups), spec.group),
                TensorSpec(spec.name + "_shape", "I64", (2,), spec.group),
            ]
        return specs

    def tensor(self, name: str) -> torch.Tensor:
        """A part of a compressed weight, or a tensor that stays as it is."""
        part = next((part for part in PARTS if name.endswith("weight" + part)), None)
        if part is None:
            return self.tensors.tensor(name)
        source = name.removesuffix(part)
        if part == "_shape":
            return torch.tensor(next(s.shape for s in self.tensors.specs() if s.name == source))
        if self._last[0] != source:
            self._last = (source, self._compressed(self.tensors.tensor(source).to(self._device, torch.float32)))
        return self._last[1]["weight" + part]

    def _compressed(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        # The values are rounded with the scale as it is stored, so that reading them back adds no error of its own.
        scale = best_scale(weight, self.args).bfloat16()
        packed = self.compressor.compress({"weight": weight, "weight_scale": scale.float()}, self.scheme)
        return {"weight_packed": packed["weight_packed"].cpu(), "weight_scale": scale.cpu()}


def best_scale(weight: torch.Tensor, args: QuantizationArgs) -> torch.Tensor:
    """The scale of each group with the smallest squared rounding error among `SHRINKS` of the plain one.

    Args:
        weight: (rows, columns), fp32.
        args: the library's description of the rounding; its group size divides the columns.

    Returns:
        (rows, columns / group size), fp32.
    """
    assert args.group_size is not None
    groups = weight.unflatten(1, (-1, args.group_size))
    low, high = torch.aminmax(groups, dim=-1)
    plain, _ = calculate_qparams(low, high, args)
    least, most = (float(bound) for bound in calculate_range(args, weight.device))
    best, best_error = plain, torch.full_like(plain, torch.inf)
    for shrink in SHRINKS:
        scale = plain * shrink
        steps = scale.unsqueeze(-1)
        error = ((groups / steps).round().clamp(least, most) * steps - groups).square().sum(-1)
        best = torch.where(error < best_error, scale, best)
        best_error = torch.minimum(error, best_error)
    return best


def group_size_for(tensors: TensorSource) -> int:
    """The largest group size that divides the columns of every layer.

    Raises:
        ConfigError: none does.
    """
    columns = sorted({spec.shape[1] for spec in tensors.specs() if is_compressed(spec)})
    for size in GROUP_SIZES:
        if all(count % size == 0 for count in columns):
            return size
    raise ConfigError(
        f"layers of {columns} columns: none of the group sizes {GROUP_SIZES} divides them all",
        "take 8 bits: --format int8 or fp8",
    )


def export_4bit(tensors: TensorSource, export: Export, device: torch.device = _CPU) -> Path:
    """Writes a complete model folder with 4-bit weights, from merged 16-bit ones.

    Args:
        tensors: the merged weights.
        export: where from and where to.
        device: where the scales are looked for; a CPU takes minutes for billions of weights.

    Raises:
        ConfigError: the architecture is not known here, its layers cannot be cut into groups, or the folder to write
            holds files.
        TuneserveError: the disk is full.
    """
    require_known(export.model)
    return write_compressed(FourBitTensors(tensors, group_size_for(tensors), device), export)

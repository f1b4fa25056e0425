"""The tensors of a merged model, computed one at a time by the PEFT layers that training used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Embedding, Linear
from safetensors import safe_open

from configs.errors import TuneserveError
from trainer.merge_plan import LoraUpdate, MergePlan, TensorInfo
from trainer.merge_shards import TensorSpec


class TensorReader:
    """Tensors by name from mapped files, of which one is open at a time, so that the pages of the others can go."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self._tensors = tensors
        self._file: Path | None = None

    def specs(self) -> list[TensorSpec]:
        """What there is to read, in file order."""
        return [TensorSpec(name, t.dtype, t.shape, t.file.name) for name, t in self._tensors.items()]

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor whose memory is the mapped file: not to be written to."""
        file = self._tensors[name].file
        if file != self._file:
            self._file, self._open = file, safe_open(file, "pt")
        return self._open.get_tensor(name)


class MergedTensors:
    """The tensors that a merge plan makes."""

    def __init__(self, plan: MergePlan, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.base, self.adapter = TensorReader(plan.base), TensorReader(plan.adapter)

    def specs(self) -> list[TensorSpec]:
        """The base's tensors with its names, dtypes and shapes, in its order, then an output head that was untied."""
        specs = self.base.specs()
        for name in self.plan.changes.keys() - self.plan.base.keys():
            source = self.plan.base[self.plan.changes[name].source]
            specs.append(TensorSpec(name, source.dtype, source.shape, specs[-1].group))
        return specs

    @torch.no_grad()
    def tensor(self, name: str) -> torch.Tensor:
        """One tensor of the merged model, in the base's dtype.

        Raises:
            TuneserveError: it holds NaN or infinity.
        """
        change = self.plan.changes.get(name)
        if change is None:
            return self.base.tensor(name)
        original = self.base.tensor(change.source)
        weight = self._trained(change.replacement) if change.replacement else self._ready(original)
        if change.lora:
            weight = self._add_lora(weight, change.lora)
        if change.bias:
            key, scaling = change.bias
            weight = weight + scaling * self._trained(key)
        merged = weight.to(original.dtype)
        if not torch.isfinite(merged).all():
            raise TuneserveError(
                f"tensor {name}: the merged weights hold NaN or infinity in {original.dtype}",
                "training diverged: lower train.learning_rate and train again",
            )
        return merged

    def _trained(self, key: str) -> torch.Tensor:
        return self._ready(self.adapter.tensor(key))

    def _ready(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device, torch.float32, copy=True)  # a copy: PEFT adds in place, and files are mapped

    def _add_lora(self, weight: torch.Tensor, update: LoraUpdate) -> torch.Tensor:
        """The weight (rows, columns) with its low-rank update; overwrites `weight`."""
        assert self.plan.config is not None
        config = LoraConfig(
            r=update.rank,
            lora_alpha=update.alpha,
            use_rslora=self.plan.config.use_rslora,
            use_dora=update.magnitude is not None,
            init_lora_weights=False,
        )
        rows, columns = weight.shape
        layer: Linear | Embedding
        if update.embedding:
            layer = _around(torch.nn.Embedding(rows, columns, device="meta"), weight, Embedding, config)
            layer.lora_embedding_A["default"].data = self._trained(update.a)
            layer.lora_embedding_B["default"].data = self._trained(update.b)
        else:
            layer = _around(torch.nn.Linear(columns, rows, bias=False, device="meta"), weight, Linear, config)
            layer.lora_A["default"].weight.data = self._trained(update.a)
            layer.lora_B["default"].weight.data = self._trained(update.b)
        if update.magnitude:
            layer.lora_magnitude_vector["default"].weight.data = self._trained(update.magnitude)
        layer.merge()
        return layer.get_base_layer().weight.data


def _around(
    module: torch.nn.Module, weight: torch.Tensor, kind: type[Linear] | type[Embedding], config: LoraConfig
) -> Linear | Embedding:
    """A PEFT layer around a bare module that holds `weight`."""
    module.weight = torch.nn.Parameter(weight, requires_grad=False)
    return kind(module, "default", config, r=config.r, lora_alpha=config.lora_alpha)

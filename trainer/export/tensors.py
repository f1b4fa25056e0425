"""The tensors of a merged model, computed one at a time by the PEFT layers that training used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Embedding, Linear
from safetensors import safe_open

from configs.errors import TuneserveError
from configs.model.adapter_weights import why_without_effect
from trainer.export.changes import LoraUpdate, MergePlan, TensorInfo
from trainer.export.safetensors import TensorSpec

BLOCK_ELEMENTS = 1 << 20
"""Weights that a CPU merges at once: 4 MiB in fp32."""

_LOOKED_AT = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


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

    def refuse_unchanged(self, adapter: Path) -> None:
        """Raises a TuneserveError where every tensor would come out as the base has it; looks until one differs."""
        changes = sorted(self.plan.changes.items(), key=lambda item: math.prod(self.plan.base[item[1].source].shape))
        for name, change in changes:
            if not torch.equal(self.tensor(name).cpu(), self.base.tensor(change.source)):
                return
        why = why_without_effect(adapter) if self.plan.config else None
        why = why or f"rounded to the base's dtype, all {len(changes)} tensors that it touches are the base's"
        raise TuneserveError(
            f"{adapter}: this adapter changes nothing: {why}",
            "train it, or take it from the checkpoint in which it was saved; nothing was written",
        )

    @torch.no_grad()
    def tensor(self, name: str) -> torch.Tensor:
        """One tensor of the merged model, in the base's dtype.

        Raises:
            TuneserveError: it holds NaN or infinity.
        """
        change = self.plan.changes.get(name)
        if change is None:
            copied = self.base.tensor(name)
            if copied.dtype in _LOOKED_AT and not torch.isfinite(copied.sum(dtype=torch.float32)):
                raise TuneserveError(
                    f"{self.plan.base[name].file}: tensor {name} of the base holds NaN or infinity",
                    "download the base again, or take another one; nothing was written",
                )
            return copied
        original = self.base.tensor(change.source)
        start = self.adapter.tensor(change.replacement) if change.replacement else original
        if change.lora and change.lora.embedding:
            merged = self._with_embedding_lora(start, change.lora).to(original.dtype)
        elif change.lora:
            merged = self._with_lora(start, change.lora, original.dtype)
        else:
            merged = self._ready(start).to(original.dtype)
        if change.bias:
            key, scaling = change.bias
            merged = (self._ready(start) + scaling * self._trained(key)).to(original.dtype)
        if not torch.isfinite(merged.sum(dtype=torch.float32)):  # far cheaper than looking at every element
            raise TuneserveError(
                f"tensor {name}: the merged weights hold NaN or infinity in {original.dtype}",
                "training diverged: lower train.learning_rate and train again",
            )
        return merged

    def _with_lora(self, weight: torch.Tensor, update: LoraUpdate, dtype: torch.dtype) -> torch.Tensor:
        """A linear layer's weight (rows, columns) with its low-rank update, in `dtype`.

        Rows do not depend on each other, DoRA's norms included, so that a CPU works through them in blocks that stay in
        its cache and need no fresh memory.
        """
        rows, columns = weight.shape
        one_row = _bare(torch.nn.Linear(columns, 1, bias=False, device="meta"), self._ready(weight[:1]))
        layer = Linear(one_row, **self._like(update))
        layer.lora_A["default"].weight.data = self._trained(update.a)
        b = self._trained(update.b)
        magnitude = self._trained(update.magnitude) if update.magnitude else None
        merged = torch.empty(rows, columns, dtype=dtype)
        step = max(1, BLOCK_ELEMENTS // columns) if self.device.type == "cpu" else rows
        for first in range(0, rows, step):
            block = slice(first, first + step)
            layer.get_base_layer().weight.data = self._ready(weight[block])
            layer.lora_B["default"].weight.data = b[block]
            if magnitude is not None:
                layer.lora_magnitude_vector["default"].weight.data = magnitude[block]
            layer.merge()
            merged[block] = layer.get_base_layer().weight.data
            layer.merged_adapters.clear()
        return merged

    def _with_embedding_lora(self, weight: torch.Tensor, update: LoraUpdate) -> torch.Tensor:
        """An embedding's weight (rows, columns) with its low-rank update, in fp32."""
        rows, columns = weight.shape
        bare = _bare(torch.nn.Embedding(rows, columns, device="meta"), self._ready(weight))
        layer = Embedding(bare, **self._like(update))
        layer.lora_embedding_A["default"].data = self._trained(update.a)
        layer.lora_embedding_B["default"].data = self._trained(update.b)
        if update.magnitude:
            layer.lora_magnitude_vector["default"].weight.data = self._trained(update.magnitude)
        layer.merge()
        return layer.get_base_layer().weight.data

    def _like(self, update: LoraUpdate) -> dict[str, Any]:
        """Arguments of a PEFT layer that computes as the trained one did."""
        assert self.plan.config is not None
        config = LoraConfig(
            r=update.rank,
            lora_alpha=update.alpha,
            use_rslora=self.plan.config.use_rslora,
            use_dora=update.magnitude is not None,
            init_lora_weights=False,
        )
        return {"adapter_name": "default", "config": config, "r": update.rank, "lora_alpha": update.alpha}

    def _trained(self, key: str) -> torch.Tensor:
        """A tensor of the adapter, in fp32."""
        return self._ready(self.adapter.tensor(key))

    def _ready(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device, torch.float32, copy=True)  # a copy: PEFT adds in place, and files are mapped


def _bare(module: torch.nn.Module, weight: torch.Tensor) -> torch.nn.Module:
    """A module that holds `weight`."""
    module.weight = torch.nn.Parameter(weight, requires_grad=False)
    return module

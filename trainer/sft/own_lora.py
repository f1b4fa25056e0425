"""Puts the LoRA functions of `trainer.sft.lora_functions` in the place of Unsloth's, layer by layer.

They stand where Unsloth's layers look for theirs, for plain LoRA only: one adapter without dropout, bias or DoRA. Where
they cannot stand, a base in FP8 is left to PEFT's own forward pass: Unsloth's functions would unpack its weights.
"""

from __future__ import annotations

from collections import Counter
from types import MethodType
from typing import Any

import torch

from trainer.sft.base_products import product_of
from trainer.sft.fp8_linear import Fp8Linear
from trainer.sft.lora_functions import Copies, LoraGroup, Mlp, Projections
from trainer.sft.unsloth import dequantize, is_swiglu, swiglu_kernels, without_fused_lora

ADAPTER = "default"
"""The only adapter of a model in training."""


def put_in_place(model: Any, turned_copy: bool) -> Counter[str]:
    """Changes the layers of a PEFT model that Unsloth has prepared on a GPU; returns how many of `qkv`, `o` and `mlp`.

    Args:
        model: the PEFT model.
        turned_copy: whether weights in FP8 are held a second time for the backward pass.
    """
    decoder = model.get_base_model().model
    groups: list[LoraGroup] = []
    found: Counter[str] = Counter()

    def group(*projections: Any) -> LoraGroup:
        bases = [p.get_base_layer() for p in projections]
        groups.append(LoraGroup(projections, ADAPTER, product_of(bases, dequantize, turned_copy)))
        return groups[-1]

    for layer in decoder.layers:
        attention, mlp = layer.self_attn, layer.mlp
        qkv = attention.q_proj, attention.k_proj, attention.v_proj
        can_be_mlp = is_swiglu(mlp) and all(map(is_plain, (mlp.gate_proj, mlp.up_proj, mlp.down_proj)))
        if any(isinstance(module, Fp8Linear) for module in layer.modules()):
            without_fused_lora(attention, mlp)
        if all(map(is_plain, qkv)):
            attention.own_lora_qkv, attention.apply_qkv = group(*qkv), own_lora_qkv
            found["qkv"] += 1
        if is_plain(attention.o_proj):
            attention.own_lora_o, attention.apply_o = group(attention.o_proj), own_lora_o
            found["o"] += 1
        if can_be_mlp:
            mlp.own_lora = group(mlp.gate_proj, mlp.up_proj), group(mlp.down_proj), *swiglu_kernels()
            mlp.forward = MethodType(own_lora_mlp, mlp)
            found["mlp"] += 1
    if groups:
        copies = Copies(groups)
        copies.refresh()
        decoder.register_forward_pre_hook(copies.refresh)
    return found


def is_plain(projection: Any) -> bool:
    """Whether a layer has one plain adapter: no dropout, no bias of its own, no DoRA, on a frozen base."""
    if list(getattr(projection, "lora_A", {})) != [ADAPTER]:
        return False
    return (
        isinstance(projection.lora_dropout[ADAPTER], torch.nn.Identity)
        and projection.lora_B[ADAPTER].bias is None
        and ADAPTER not in projection.lora_variant
        and not projection.get_base_layer().weight.requires_grad
    )


# Unsloth compiles its layers, and one compiled layer serves all: what stands in them is the same function in every
# layer, which finds its weights by itself and is not looked into.


@torch.compiler.disable
def own_lora_qkv(attention: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Stands for Unsloth's `apply_qkv`: (1, tokens, hidden) to queries, keys and values."""
    return _projected(attention.own_lora_qkv, x)


@torch.compiler.disable
def own_lora_o(attention: Any, x: torch.Tensor) -> torch.Tensor:
    """Stands for Unsloth's `apply_o`."""
    return _projected(attention.own_lora_o, x)[0]


@torch.compiler.disable
def own_lora_mlp(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    """Stands for the MLP's `forward`."""
    gate_up, down, swiglu, swiglu_back = mlp.own_lora
    if gate_up.active:
        trained = *gate_up.parameters, *down.parameters
        out: torch.Tensor = Mlp.apply(x, gate_up, down, swiglu, swiglu_back, *trained)
        return out
    gate, up = _base_alone(gate_up, x.reshape(-1, x.shape[-1]))
    return _base_alone(down, swiglu(gate, up))[0].view(x.shape)


def _projected(group: LoraGroup, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    if not group.active:
        return _base_alone(group, x)
    found: tuple[torch.Tensor, ...] = Projections.apply(x, group, *group.parameters)
    return found


def _base_alone(group: LoraGroup, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    outs = group.product.forward(x.reshape(-1, x.shape[-1]))
    return tuple(out.view(*x.shape[:-1], -1) for out in outs)

"""LoRA's seven linear layers as three functions with gradients of their own: q, k and v; o; the MLP.

Layers that read the same input share what can be shared: their A matrices are one product, x A is kept for the backward
pass, and the gradient of the input is one sum. The adapters' fp32 weights are copied to 16 bits once a forward pass of
the model, not in every layer; their gradients come out in fp32. Nothing waits for the GPU, so that all of it can be
recorded. What the frozen weights do is given from outside (`trainer.sft.base_products`).

With x of shape (tokens, inputs), weight W (outputs, inputs), A (rank, inputs), B (outputs, rank) and scale s:

    y  = x Wᵀ + (x Aᵀ) (s B)ᵀ
    u  = dy (s B)               (tokens, rank)
    dA = uᵀ x      dB = s dyᵀ (x Aᵀ)      dx = dy W + u A
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from trainer.sft.base_products import BaseProduct

Swiglu = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""gate, up (tokens, width) to silu(gate) * up."""
SwigluBack = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""Gradient of that, gate, up to that itself, the gradient of up, the gradient of gate; may write over its arguments."""


class LoraGroup:
    """Adapted linear layers that read the same input.

    Args:
        projections: PEFT's layers, each with one plain adapter.
        adapter: its name.
        product: what their frozen weights do.
    """

    def __init__(self, projections: Sequence[Any], adapter: str, product: BaseProduct) -> None:
        self.projections, self.product, self._adapter = list(projections), product, adapter
        self.masters_a = [p.lora_A[adapter].weight for p in projections]
        self.masters_b = [p.lora_B[adapter].weight for p in projections]
        self.ranks = [a.shape[0] for a in self.masters_a]
        base = projections[0].get_base_layer()
        dtype = getattr(base, "compute_dtype", None) or base.weight.dtype
        options: dict[str, Any] = {"dtype": dtype, "device": self.masters_a[0].device}
        self.a = torch.empty(sum(self.ranks), self.masters_a[0].shape[1], **options)
        self.b = [torch.empty(b.shape, **options) for b in self.masters_b]

    @property
    def scales(self) -> list[float]:
        """What each adapter counts, as PEFT's layers say now: for the proof it counts other shares too."""
        return [float(p.scaling[self._adapter]) for p in self.projections]

    @property
    def parameters(self) -> list[torch.Tensor]:
        """The trained weights, all A before all B."""
        return [*self.masters_a, *self.masters_b]

    @property
    def active(self) -> bool:
        """Whether the adapters count; PEFT turns them off for the base's own likelihoods."""
        return not self.projections[0].disable_adapters

    def forward(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Outputs of every layer, and x A of shape (tokens, all ranks)."""
        low = x @ self.a.T
        outs = self.product.forward(x)
        for out, part, b in zip(outs, low.split(self.ranks, dim=1), self.b, strict=True):
            out.addmm_(part, b.T)
        return outs, low

    def backward_b(
        self, gradients: Sequence[torch.Tensor], low: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """From the outputs' gradients: u of shape (tokens, all ranks), and the gradients of all B."""
        u = torch.empty_like(low)
        for part, gradient, b in zip(u.split(self.ranks, dim=1), gradients, self.b, strict=True):
            torch.mm(gradient, b, out=part)
        trained = [
            in_fp32(gradient.T, part).mul_(scale) if scale != 1 else in_fp32(gradient.T, part)
            for gradient, part, scale in zip(gradients, low.split(self.ranks, dim=1), self.scales, strict=True)
        ]
        return u, trained

    def backward_a(self, u: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        """Gradients of all A."""
        return list(in_fp32(u.T, x).split(self.ranks))

    def backward_x(self, gradients: Sequence[torch.Tensor], u: torch.Tensor) -> torch.Tensor:
        """Gradient of the input."""
        return self.product.backward(gradients).addmm_(u, self.a)


class Copies:
    """The adapters of all groups in 16 bits, taken from their trained weights at the start of a forward pass."""

    def __init__(self, groups: Sequence[LoraGroup]) -> None:
        self._groups = list(groups)
        self._into_a = [part for group in groups for part in group.a.split(group.ranks)]
        self._from_a = [master for group in groups for master in group.masters_a]

    @torch.no_grad()
    def refresh(self, *_: Any) -> None:
        """Takes them anew."""
        by_scale: dict[float, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
        for group in self._groups:
            for b, master, scale in zip(group.b, group.masters_b, group.scales, strict=True):
                into, source = by_scale.setdefault(scale, ([], []))
                into.append(b)
                source.append(master.data)
        torch._foreach_copy_(self._into_a, [master.data for master in self._from_a])
        for scale, (into, source) in by_scale.items():
            torch._foreach_copy_(into, source if scale == 1 else torch._foreach_mul(source, scale))


class Projections(torch.autograd.Function):
    """One group: (..., inputs) to every layer's (..., outputs)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: LoraGroup, *_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See the module; the trained weights are named so that their gradients find them."""
        with torch.autocast(x.device.type, enabled=False):
            flat = x.reshape(-1, x.shape[-1])
            outs, low = group.forward(flat)
        ctx.group = group
        ctx.save_for_backward(x, low)
        return tuple(out.view(*x.shape[:-1], -1) for out in outs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """See the module."""
        x, low = ctx.saved_tensors
        group: LoraGroup = ctx.group
        with torch.autocast(x.device.type, enabled=False):
            flat = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
            u, of_b = group.backward_b(flat, low)
            of_a = group.backward_a(u, x.reshape(-1, x.shape[-1]))
            of_x = group.backward_x(flat, u)
        return of_x.view(x.shape), None, *of_a, *of_b


class Mlp(torch.autograd.Function):
    """gate and up, SwiGLU, down: (..., hidden) to (..., hidden). Gate and up are kept, their product is not."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        gate_up: LoraGroup,
        down: LoraGroup,
        swiglu: Swiglu,
        swiglu_back: SwigluBack,
        *_: torch.Tensor,
    ) -> torch.Tensor:
        """See the module."""
        with torch.autocast(x.device.type, enabled=False):
            (gate, up), low = gate_up.forward(x.reshape(-1, x.shape[-1]))
            (out,), low_down = down.forward(swiglu(gate, up))
        ctx.groups, ctx.swiglu_back = (gate_up, down), swiglu_back
        ctx.save_for_backward(x, low, gate, up, low_down)
        return out.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """See the module."""
        x, low, gate, up, low_down = ctx.saved_tensors
        gate_up, down = ctx.groups
        with torch.autocast(x.device.type, enabled=False):
            out = [gradients[0].reshape(-1, gradients[0].shape[-1])]
            u_down, of_b_down = down.backward_b(out, low_down)
            inner, of_up, of_gate = ctx.swiglu_back(down.backward_x(out, u_down), gate, up)
            of_a_down = down.backward_a(u_down, inner)
            del inner
            u, of_b = gate_up.backward_b([of_gate, of_up], low)
            of_a = gate_up.backward_a(u, x.reshape(-1, x.shape[-1]))
            of_x = gate_up.backward_x([of_gate, of_up], u)
        return of_x.view(x.shape), None, None, None, None, *of_a, *of_b, *of_a_down, *of_b_down


def in_fp32(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The product of two 16-bit matrices, not rounded back."""
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """See `Swiglu`; without a kernel."""
    return torch.nn.functional.silu(gate.float()).to(gate.dtype) * up


def swiglu_back(
    gradient: torch.Tensor, gate: torch.Tensor, up: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """See `SwigluBack`; without a kernel."""
    wide = gate.float()
    opened = torch.sigmoid(wide)
    passed = (wide * opened).to(gate.dtype)
    of_gate = (gradient * up).float() * opened * (1 + wide * (1 - opened))
    return passed * up, gradient * passed, of_gate.to(gate.dtype)

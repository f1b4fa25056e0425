"""What the frozen weights of linear layers do to the layers' common input, and back: in 16 bits, in NF4 and in FP8.

A group are the linear layers that read the same input: q, k and v; o; gate and up; down. The gradient of their input is
one sum over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from trainer.sft.fp8 import product, round_rows, turned
from trainer.sft.fp8_linear import Fp8Linear, is_fp8

Dequantize = Callable[[torch.Tensor, Any], torch.Tensor]
"""Packed 4-bit weight and its state to the weight in 16 bits, (outputs, inputs)."""


class BaseProduct(Protocol):
    """The products of one group."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Input of shape (tokens, inputs) to what each layer makes of it, (tokens, outputs), its bias added."""

    def backward(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Gradients of the outputs to the gradient of the input, (tokens, inputs)."""


class Dense:
    """Weights that are there as they are, or that are unpacked for every product.

    Args:
        layers: the group's linear layers.
        dequantize: unpacks 4-bit weights; None where they are held in 16 bits.
    """

    def __init__(self, layers: Sequence[torch.nn.Linear], dequantize: Dequantize | None = None) -> None:
        self._layers, self._dequantize = list(layers), dequantize

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """See `BaseProduct`."""
        return [torch.nn.functional.linear(x, self._weight(layer), layer.bias) for layer in self._layers]

    def backward(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `BaseProduct`."""
        out = gradients[0] @ self._weight(self._layers[0])
        for layer, gradient in zip(self._layers[1:], gradients[1:], strict=True):
            out.addmm_(gradient, self._weight(layer))
        return out

    def _weight(self, layer: torch.nn.Linear) -> torch.Tensor:
        if self._dequantize is None:
            return layer.weight
        return self._dequantize(layer.weight, layer.weight.quant_state)


class Fp8:
    """Weights in FP8: the input is rounded once for all layers of the group, and so are the gradients.

    Args:
        layers: the group's `Fp8Linear` layers. Their weights are laid one below the other; each layer's own becomes a
            view of that.
        keep_turned: whether the weights are held a second time, with rows and columns changed, for the way back; else
            they are turned in every backward pass.
    """

    def __init__(self, layers: Sequence[Fp8Linear], keep_turned: bool) -> None:
        self._layers = list(layers)
        sizes = [layer.out_features for layer in layers]
        if len(layers) > 1:
            self._weight = torch.cat([layer.weight.data for layer in layers])
            for layer, part in zip(layers, self._weight.split(sizes), strict=True):
                layer.weight.data = part
        else:
            self._weight = layers[0].weight.data
        self._scales = torch.cat([layer.weight_scale for layer in layers]).flatten()
        self._turned = turned(self._weight) if keep_turned else None

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """See `BaseProduct`."""
        rounded, scales = round_rows([x])
        found = [product(rounded, scales, layer.weight, layer.weight_scale, x.dtype) for layer in self._layers]
        return [out if layer.bias is None else out + layer.bias for layer, out in zip(self._layers, found, strict=True)]

    def backward(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `BaseProduct`."""
        rounded, scales = round_rows(gradients, self._scales)
        weight = turned(self._weight) if self._turned is None else self._turned
        return product(rounded, scales, weight, None, gradients[0].dtype)


def product_of(layers: Sequence[Any], dequantize: Dequantize, keep_turned: bool) -> BaseProduct:
    """The products of a group, by how its weights are held."""
    if all(is_fp8(layer) for layer in layers):
        return Fp8(layers, keep_turned)
    packed = any(hasattr(layer.weight, "quant_state") for layer in layers)
    return Dense(layers, dequantize if packed else None)

"""Whether vLLM can serve a model on a GPU, and with how much context: the one answer of `check` and of `serve`.

What a GPU holds beside vLLM's own needs: its part of the weights, and the keys and values of every token in 16 bits.
Tensor parallelism divides every weight and the KV heads (a head is never divided, so more GPUs than KV heads repeat
them); pipeline parallelism divides the layers, and the GPU at either end has an embedding or an output layer. Imports
neither torch nor vLLM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from configs.machine.gpus import Device
from configs.model.mixed_shape import MixedShape
from configs.model.shape import DecoderShape, ModelShape

RESERVED_GB = 1.5
"""What vLLM needs beside weights and KV cache: activations, CUDA context, graphs. A lower bound."""
LEAST_CONTEXT = 1024
"""A server with room for less than this is of no use, in tokens."""
WEIGHT_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1}
"""Bytes of a weight by serving precision; under fp8 embedding, output layer and norms stay in 16 bits."""


@dataclass(frozen=True)
class Split:
    """The GPUs that share one copy of the weights."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def gpus(self) -> int:
        """How many they are."""
        return self.tensor * self.pipeline


@dataclass(frozen=True)
class Fit:
    """One serving precision on one kind of GPU."""

    precision: str
    weights_gb: float
    """On each GPU that shares the layers."""
    context: int
    """Tokens of KV cache that fit beside the weights; negative when the weights alone do not."""
    why_not: str = ""
    """Empty when it can be served."""


def served_precision(asked: str, device: Device) -> str:
    """What `serve.precision` comes to: `auto` is the 16-bit format that the card computes."""
    return asked if asked != "auto" else "bf16" if device.bf16 else "fp16"


def fit(
    shape: DecoderShape, device: Device, share: float, weights_gb: float, precision: str, split: Split, wanted: int
) -> Fit:
    """Whether weights and one context fit into what each GPU gives.

    Args:
        shape: the model.
        device: the GPU.
        share: of its memory that vLLM may take, 0 to 1.
        weights_gb: on each GPU; of `weights_gb`, or of the files where they are rounded already.
        precision: key of WEIGHT_BYTES, or any other word for weights that are rounded already.
        split: how many GPUs share the model.
        wanted: tokens that a context must hold.
    """
    left_gb = share * device.memory_gb - weights_gb - RESERVED_GB
    if isinstance(shape, MixedShape):
        left_gb -= shape.state_bytes / 1e9
    fit = Fit(precision, weights_gb, math.floor(left_gb * 1e9 / kv_bytes_a_token(shape, split)))
    return replace(fit, why_not=_why_not(fit, device, share, wanted))


def weights_gb(shape: DecoderShape, precision: str, split: Split = Split(), stored_bytes: int | None = None) -> float:
    """Weights on each GPU, in GB of 1e9 bytes.

    Args:
        shape: the model.
        precision: key of WEIGHT_BYTES.
        split: how many GPUs share the model.
        stored_bytes: size of its files in 16 bits, for a model that is no `ModelShape`, such as an unknown mixture.
    """
    if isinstance(shape, ModelShape | MixedShape):
        linear, norms = shape.linear_parameters, shape.norm_parameters
    else:
        linear, norms = (stored_bytes or 0) // 2 - shape.embedding_parameters, 0
    # An output layer that is not the embedding is on the last GPU of a pipeline, the embedding on the first.
    ends = shape.vocabulary * shape.hidden * (1 if shape.tied or split.pipeline > 1 else 2)
    kept = max(2, WEIGHT_BYTES[precision]) * (ends / split.tensor + norms / split.pipeline)
    return (WEIGHT_BYTES[precision] * linear / (split.tensor * split.pipeline) + kept) / 1e9


def kv_bytes_a_token(shape: DecoderShape, split: Split = Split(), number_bytes: int = 2) -> int:
    """KV-cache bytes of one token on each GPU: keys and values, in 16 bits unless said, of every layer that it has."""
    heads = math.ceil(shape.kv_heads / split.tensor)
    return 2 * number_bytes * heads * shape.head_dim * math.ceil(shape.kv_layers / split.pipeline)


def _why_not(fit: Fit, device: Device, share: float, wanted: int) -> str:
    if fit.precision == "bf16" and not device.bf16:
        return "no bf16 on this card"
    if fit.precision == "fp8" and (device.capability or (0, 0)) < (8, 0):
        return "vLLM needs compute capability 8.0 for fp8"
    if fit.context < 0:
        given = share * device.memory_gb
        return f"weights of {fit.weights_gb:.1f} GB and {RESERVED_GB} GB of vLLM's own do not fit into {given:.1f} GB"
    if fit.context < wanted:
        return f"there is room for a context of {fit.context:,} tokens, {wanted:,} are needed"
    return ""

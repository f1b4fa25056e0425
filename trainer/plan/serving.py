"""Whether the merged model can be served on a GPU, and in which precision. No torch, no vLLM."""

from __future__ import annotations

from dataclasses import dataclass

from configs.model_shape import ModelShape
from configs.schema import ServeConfig
from trainer.plan.gpus import Gpu

WORK_GB = 1.5
"""What vLLM needs beside weights and KV cache: activations, CUDA context, graphs. A lower bound."""
LEAST_CONTEXT = 1024
"""A server with room for less than this is of no use, in tokens."""

GGUF_BITS = {
    "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q6_k": 6.56, "q5_k_m": 5.70, "q5_k_s": 5.57,
    "q4_k_m": 4.89, "q4_k_s": 4.67, "q3_k_l": 4.30, "q3_k_m": 4.00, "q3_k_s": 3.64, "q2_k": 3.16,
}  # fmt: skip
"""Bits a weight of a GGUF file. q8_0 has a 16-bit scale for 32 weights; the K-quants mix formats, as llama.cpp's
`tools/quantize/README.md` lists it for Llama-3.1-8B. A small model, mostly embedding, comes out larger."""


@dataclass(frozen=True)
class Servable:
    """One serving precision on one GPU."""

    precision: str
    weights_gb: float
    """On each GPU that shares the layers."""
    context: int
    """Tokens of KV cache that fit beside the weights; negative when the weights alone do not."""
    why_not: str
    """Empty when it can be served."""


def serving_precision(serve: ServeConfig, gpu: Gpu) -> str:
    """What `serve.precision` comes to: `auto` is the 16-bit format that the card computes."""
    return serve.precision if serve.precision != "auto" else "bf16" if gpu.bf16 else "fp16"


def servable(shape: ModelShape, serve: ServeConfig, gpu: Gpu, longest: int) -> dict[str, Servable]:
    """Every precision that vLLM makes while loading, with the reason where it cannot be served.

    Args:
        shape: the model.
        serve: the recipe's section; memory share, context and the number of GPUs count.
        gpu: the card, of which `tensor_parallel_size * pipeline_parallel_size` share the model.
        longest: tokens of the longest row that was trained; the context has to hold it.
    """
    split = serve.tensor_parallel_size * serve.pipeline_parallel_size
    kv_bytes = 2 * shape.layers * shape.keys * 2 / split
    wanted = int(serve.max_model_len) if serve.max_model_len != "auto" else max(LEAST_CONTEXT, longest)
    found = {}
    for precision in ("bf16", "fp16", "fp8"):
        width = 1 if precision == "fp8" else 2
        rest = shape.parameters - shape.linear_parameters
        weights = (width * shape.linear_parameters + 2 * rest) / split
        left = serve.gpu_memory_utilization * gpu.memory_gb * 1e9 - weights - WORK_GB * 1e9
        context = int(left / kv_bytes)
        found[precision] = Servable(
            precision, weights / 1e9, context, _why_not(precision, gpu, weights, context, wanted)
        )
    return found


def gguf_gb(shape: ModelShape, quant: str) -> float:
    """Size of a GGUF file, in GB of 1e9 bytes."""
    return shape.parameters * GGUF_BITS[quant] / 8 / 1e9


def _why_not(precision: str, gpu: Gpu, weights: float, context: int, wanted: int) -> str:
    if precision == "bf16" and not gpu.bf16:
        return "no bf16 on this card"
    if precision == "fp8" and gpu.capability < (8, 0):
        return "vLLM needs compute capability 8.0 for fp8"
    if context < 0:
        return f"weights of {weights / 1e9:.1f} GB leave no room on {gpu.memory_gb:.1f} GB"
    if context < wanted:
        return f"room for {context:,} tokens, {wanted:,} are needed"
    return ""

"""What the merged model can be served as: every precision that vLLM makes on a GPU, and the size of a GGUF file."""

from __future__ import annotations

from configs.machine.gpus import Device
from configs.model.mixed_shape import MixedShape
from configs.model.serving_memory import LEAST_CONTEXT, Fit, Split, fit, weights_gb
from configs.model.shape import ModelShape
from configs.recipe.schema import ServeConfig

GGUF_BITS = {
    "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q6_k": 6.56, "q5_k_m": 5.70, "q5_k_s": 5.57,
    "q4_k_m": 4.89, "q4_k_s": 4.67, "q3_k_l": 4.30, "q3_k_m": 4.00, "q3_k_s": 3.64, "q2_k": 3.16,
}  # fmt: skip
"""Bits a weight of a GGUF file. q8_0 has a 16-bit scale for 32 weights; the K-quants mix formats, as llama.cpp's
`tools/quantize/README.md` lists it for Llama-3.1-8B. A small model, mostly embedding, comes out larger."""


def servable(shape: ModelShape | MixedShape, serve: ServeConfig, gpu: Device, longest: int) -> dict[str, Fit]:
    """Every precision that vLLM makes while loading, with the reason where it cannot be served.

    Args:
        shape: the model.
        serve: the recipe's section; memory share, context and the number of GPUs count.
        gpu: the card, of which `tensor_parallel_size * pipeline_parallel_size` share the model.
        longest: tokens of the longest row that was trained; the context has to hold it.
    """
    split = Split(serve.tensor_parallel_size, serve.pipeline_parallel_size)
    wanted = int(serve.max_model_len) if serve.max_model_len != "auto" else max(LEAST_CONTEXT, longest)
    return {
        name: fit(shape, gpu, serve.gpu_memory_utilization, weights_gb(shape, name, split), name, split, wanted)
        for name in ("bf16", "fp16", "fp8")
    }


def gguf_gb(shape: ModelShape | MixedShape, quant: str) -> float:
    """Size of a GGUF file, in GB of 1e9 bytes."""
    return shape.parameters * GGUF_BITS[quant] / 8 / 1e9

"""What vLLM's CPU build is told beside its flags, and what this machine's processor has to do with it."""

from __future__ import annotations

from pathlib import Path

from configs.model.files import read_model_config, text_config, weight_bytes
from configs.model.serving_memory import LEAST_CONTEXT, kv_bytes_a_token
from configs.model.shape import DecoderShape, ModelShape, UnknownShape
from configs.recipe.schema import ServeConfig
from serve.launch.target import is_rounded

GIB = 1 << 30
SMALL_MODEL_BYTES = 200_000_000
"""Below this size of the weights, a second thread waits longer than it helps (measured on two cores)."""


def has_avx512() -> bool:
    """Whether this machine's processor has AVX-512; taken for granted where Linux does not tell."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return "avx512f" in flags or "flags" not in flags


def in_32_bits(weights: Path, config: ServeConfig) -> bool:
    """Whether a small model is served in 32 bits: without AVX-512, 16 of them take a processor twice as long."""
    small = 0 < weight_bytes(weights) < SMALL_MODEL_BYTES
    if config.precision != "auto" or not small or is_rounded(weights) or has_avx512():
        return False
    try:
        ModelShape.load(weights)
    except UnknownShape:
        return False  # layers of linear attention, for one, are computed in bf16 only
    return True


def cpu_settings(
    weights: Path, config: ServeConfig, available_ram: int, *, number_bytes: int, eager: bool
) -> dict[str, str]:
    """Variables for vLLM's CPU build.

    Args:
        weights: folder of the model.
        config: the `serve` section.
        available_ram: bytes of free memory.
        number_bytes: bytes of a number in the KV cache.
        eager: nothing is to be compiled.
    """
    env = {
        "VLLM_CPU_KVCACHE_SPACE": str(_kv_gib(weights, config, available_ram, number_bytes)),
        # By default vLLM keeps one core free of the model, half of a two-core machine.
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    }
    if config.tensor_parallel_size == config.pipeline_parallel_size == 1:
        # One process fewer: the worker runs inside the engine. Saves its start and the copies between the two.
        env["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if weight_bytes(weights) < SMALL_MODEL_BYTES:
        env["OMP_NUM_THREADS"] = "1"
    if eager:
        # vLLM compiles parts of its sampler all the same: seven seconds of the first request for likelihoods.
        env["TORCH_COMPILE_DISABLE"] = "1"
    return env


def _kv_gib(weights: Path, config: ServeConfig, available_ram: int, number_bytes: int) -> int:
    """GiB for the KV cache: sixteen full contexts if a quarter of the free memory holds them, 1 GiB at least."""
    most = max(1, available_ram // 4 // GIB)
    try:
        token_bytes = kv_bytes_a_token(DecoderShape.load(weights), number_bytes=number_bytes)
    except UnknownShape:
        return most
    context = config.max_model_len
    if context == "auto":
        context = text_config(read_model_config(weights)).get("max_position_embeddings") or LEAST_CONTEXT
    return max(1, min(-(-16 * int(context) * token_bytes // GIB), most))

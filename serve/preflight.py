"""What would stop a server, found in seconds and before anything is started. Imports neither torch nor vllm."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from configs.errors import ConfigError
from configs.models import check_model_folder, weight_files
from configs.schema import ServeConfig
from serve.command import GIB, ServerCommand, flag_value, kv_bytes_per_token
from serve.gpus import Gpu, visible_gpus
from serve.ports import require_free_port
from serve.target import LORA_LAYERS, Adapter
from serve.template import template_traits

WORK_GIB = 1.0
"""What vLLM needs beside weights and KV cache: activations, CUDA context, graphs. A lower bound."""

BYTES_PER_WEIGHT = {"auto": 1.0, "bf16": 1.0, "fp16": 1.0, "fp8": 0.5}
"""Size in memory relative to the 16-bit file."""


Check = Callable[["ServerCommand", "ServeConfig"], Iterator["Finding"]]


@dataclass(frozen=True)
class Finding:
    """One thing that preflight looked at."""

    level: Literal["ok", "warning", "error"]
    """An error would stop the server."""
    name: str
    """What was looked at."""
    message: str
    """What was seen."""
    next_step: str = ""
    """The flag to set, or what else to do."""


def preflight(command: ServerCommand, config: ServeConfig) -> list[Finding]:
    """Looks at files, tokenizer, template, generation settings, adapters, port, memory and context."""
    return [finding for name, check in CHECKS.items() for finding in _run(name, check, command, config)]


def require(findings: Sequence[Finding]) -> None:
    """Raises one ConfigError with every error among the findings."""
    failed = [f for f in findings if f.level == "error"]
    if failed:
        raise ConfigError(
            "\n".join(f"{f.name}: {f.message}" for f in failed),
            "\n        ".join(f.next_step for f in failed if f.next_step),
        )


def _run(name: str, check: Check, command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    try:
        yield from check(command, config)
    except ConfigError as error:
        yield Finding("error", name, error.message, error.next_step)


def _files(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    folder = command.target.weights
    check_model_folder(folder, weights=not command.dummy)
    if command.dummy:
        yield Finding("ok", "files", f"{folder}; vLLM makes up the weights")
        return
    for file in folder.glob("*.safetensors"):
        expected, actual = safetensors_size(file), file.stat().st_size
        if expected != actual:
            raise ConfigError(
                f"{file}: {actual:,} bytes, its header says {expected:,}: the file is damaged or cut short",
                "download it again, or repeat `tuneserve merge RUN --force`",
            )
    yield Finding("ok", "files", f"{folder}, {_gib(_weight_bytes(folder)):.2f} GiB of weights, complete")


def _tokenizer(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    from tokenizers import Tokenizer

    file = command.target.weights / "tokenizer.json"
    if not file.is_file():
        yield Finding("warning", "tokenizer", f"{file.parent}: no tokenizer.json; vLLM must convert a slow tokenizer")
        return
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ConfigError(
            f"{file}: does not load with the serving version: {error}",
            "copy tokenizer.json from the base model; it was written by another version",
        ) from error
    yield Finding("ok", "tokenizer", f"{tokenizer.get_vocab_size():,} tokens")
    yield from _end_tokens(command.target.weights, tokenizer.get_vocab_size())


def _end_tokens(folder: Path, vocabulary: int) -> Iterator[Finding]:
    """The ids at which a generation ends, and the sampling that requests get when they send none."""
    settings = _json(folder / "generation_config.json") | {}
    eos = settings.get("eos_token_id", _json(folder / "config.json").get("eos_token_id"))
    ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
    if not ids:
        yield Finding(
            "warning",
            "generation",
            "neither generation_config.json nor config.json has an eos_token_id: answers end by the tokenizer's alone",
            "set eos_token_id to the end-of-turn token in generation_config.json",
        )
    elif max(ids) >= vocabulary:
        raise ConfigError(
            f"{folder}: eos_token_id {max(ids)} is outside the tokenizer's {vocabulary:,} tokens",
            "take generation_config.json and the tokenizer from the same model",
        )
    names = ("temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens")
    defaults = {name: settings[name] for name in names if name in settings}
    if "max_new_tokens" in defaults:
        yield Finding(
            "warning",
            "generation",
            f"generation_config.json cuts every answer at {defaults['max_new_tokens']} tokens",
            "remove max_new_tokens from it",
        )
    listed = ", ".join(f"{k}={v}" for k, v in defaults.items()) or "none"
    yield Finding("ok", "generation", f"ends at {ids}; defaults from generation_config.json: {listed}")


def _template(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    if flag_value(command.argv, "--chat-template") is not None:
        yield Finding("ok", "template", "given by --chat-template")
        return
    traits = template_traits(command.target.weights)
    thinking = {"none": "no thinking", "switchable": "thinking can be switched", "always": "always thinks"}
    yield Finding("ok", "template", f"{thinking[traits.family]}; tool calls: {traits.tool_parser or 'none'}")


def _adapters(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    for adapter in command.target.adapters:
        check_adapter(adapter)
        yield Finding("ok", "adapter", f"{adapter.name}: rank {adapter.rank}, {adapter.folder}")


def check_adapter(adapter: Adapter) -> None:
    """Raises a ConfigError where an adapter has no weights, or adapts layers in which vLLM cannot add one."""
    weights = [adapter.folder / name for name in ("adapter_model.safetensors", "adapter_model.bin")]
    if not any(file.is_file() for file in weights):
        raise ConfigError(f"{adapter.folder}: adapter_model.safetensors is missing", "run `tuneserve train` again")
    refused = sorted(set(adapter.modules) - LORA_LAYERS)
    if refused:
        raise ConfigError(
            f"{adapter.folder}: adapts {', '.join(refused)}, which vLLM cannot do beside a base",
            "serve the merged weights: `tuneserve merge RUN`, then `tuneserve serve RUN`",
        )


def _port(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    require_free_port(command.host, command.port)
    yield Finding("ok", "port", f"{command.host}:{command.port} is free")


def _memory(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    if command.device == "cpu":
        yield from _ram(command)
    else:
        yield from _gpu_memory(command, config, visible_gpus())


def _ram(command: ServerCommand) -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    kv_gib = int(command.env.get("VLLM_CPU_KVCACHE_SPACE", "0"))
    needed = _weight_bytes(command.target.weights) + (kv_gib + WORK_GIB) * GIB
    seen = f"{_gib(needed):.1f} GiB needed ({kv_gib} of them KV cache), {_gib(available):.1f} GiB free"
    if needed > available:
        raise ConfigError(f"not enough memory: {seen}", "free memory, or export VLLM_CPU_KVCACHE_SPACE=1")
    yield Finding("ok", "memory", seen)


def _gpu_memory(command: ServerCommand, config: ServeConfig, gpus: Sequence[Gpu]) -> Iterator[Finding]:
    wanted, shared_by = _gpus_here(command), _gpus_a_replica(command)
    if wanted is None:  # Ray places the work, here or on other machines
        wanted = len(gpus)
        if not gpus:
            yield Finding("ok", "memory", "not looked at: Ray finds the GPUs")
            return
    if len(gpus) < wanted:
        raise ConfigError(
            f"{wanted} GPUs are asked for, {len(gpus)} can be seen",
            "lower serve.tensor_parallel_size, or look at nvidia-smi and CUDA_VISIBLE_DEVICES",
        )
    share = float(flag_value(command.argv, "--gpu-memory-utilization") or config.gpu_memory_utilization)
    for gpu in gpus[:wanted]:
        claim = share * gpu.total
        if gpu.free < claim:
            fits = int(100 * gpu.free / gpu.total) / 100
            raise ConfigError(
                f"GPU {gpu.index} ({gpu.name}): {_gib(gpu.free):.1f} of {_gib(gpu.total):.1f} GiB are free, "
                f"{_gib(claim):.1f} are asked for; in use by {gpu.users()}",
                f"stop what uses it, or set serve.gpu_memory_utilization={fits}",
            )
    yield from _context(command, config, share * gpus[0].total, shared_by)


def _gpus_a_replica(command: ServerCommand) -> int:
    """GPUs that share one copy of the weights, by ours or the user's flags."""
    return _count(command, "--tensor-parallel-size") * _count(command, "--pipeline-parallel-size")


def _gpus_here(command: ServerCommand) -> int | None:
    """GPUs that this machine must have; None where Ray finds them, on any machine of its cluster."""
    if "ray" in (flag_value(command.argv, f"--{what}-backend") for what in ("distributed-executor", "data-parallel")):
        return None
    replicas = flag_value(command.argv, "--data-parallel-size-local") or _count(command, "--data-parallel-size")
    return -(-_gpus_a_replica(command) * int(replicas) // _count(command, "--nnodes"))


def _count(command: ServerCommand, flag: str) -> int:
    return int(flag_value(command.argv, flag) or 1)


def _context(command: ServerCommand, config: ServeConfig, claim: float, split: int) -> Iterator[Finding]:
    """Whether weights and one full context fit into what each of the `split` GPUs of a replica gives."""
    weights = command.target.weights
    if command.dummy:
        yield Finding("ok", "memory", f"{_gib(claim):.1f} GiB a GPU; the size of made-up weights is not looked at")
        return
    model_bytes = _weight_bytes(weights) * BYTES_PER_WEIGHT[config.precision] / split
    left = claim - model_bytes - WORK_GIB * GIB
    model_config = _json(weights / "config.json")
    fits = int(left * split / kv_bytes_per_token(model_config))
    if left <= 0 or fits < 256:
        raise ConfigError(
            f"weights of {_gib(model_bytes):.1f} GiB do not fit into {_gib(claim):.1f} GiB",
            "set serve.precision=fp8, serve an int8 or int4 export (docs/serving.md), raise "
            "serve.gpu_memory_utilization, or use more GPUs (serve.tensor_parallel_size)",
        )
    length = config.max_model_len
    if length != "auto" and length > fits:
        raise ConfigError(
            f"a context of {length:,} tokens does not fit: there is room for about {fits:,}",
            f"set serve.max_model_len={fits // 256 * 256} or auto",
        )
    yield Finding("ok", "memory", f"{_gib(claim):.1f} GiB a GPU: room for about {fits:,} tokens of KV cache")


def safetensors_size(file: Path) -> int:
    """Size in bytes that a safetensors file should have by its own header.

    Raises:
        ConfigError: it has no readable header.
    """
    header_bytes, header = _safetensors_header(file)
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return 8 + header_bytes + max(ends, default=0)


def safetensors_shapes(file: Path) -> dict[str, list[int]]:
    """Name and shape of every tensor in a safetensors file; empty where there is no such file.

    Raises:
        ConfigError: it has no readable header.
    """
    if not file.is_file():
        return {}
    _, header = _safetensors_header(file)
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def _safetensors_header(file: Path) -> tuple[int, dict[str, Any]]:
    """Length in bytes and contents of the header.

    The format: 8 bytes of header length, little endian; the header, JSON; then the tensors, whose `data_offsets` count
    from the end of the header.
    """
    with file.open("rb") as handle:
        try:
            (header_bytes,) = struct.unpack("<Q", handle.read(8))
            return header_bytes, json.loads(handle.read(header_bytes))
        except (struct.error, ValueError, MemoryError, OverflowError) as error:
            raise ConfigError(
                f"{file}: not a readable safetensors file: {error}", "download it again, or merge again"
            ) from error


def _weight_bytes(folder: Path) -> int:
    return sum(f.stat().st_size for f in weight_files(folder))


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _gib(count: float) -> float:
    return count / GIB


CHECKS: dict[str, Check] = {
    "files": _files,
    "tokenizer": _tokenizer,
    "template": _template,
    "adapter": _adapters,
    "port": _port,
    "memory": _memory,
}

"""What would stop a server, found in seconds and before anything is started. Imports neither torch nor vllm."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from configs.errors import ConfigError
from configs.model_files import check_model_folder, read_json, weight_bytes
from configs.schema import ServeConfig
from serve.launch.command import (
    GIB,
    ServerCommand,
    asked_length,
    flag_number,
    flag_value,
    kv_bytes_per_token,
    parse_number,
)
from serve.launch.gpus import Gpu, visible_gpus
from serve.launch.ports import require_free_port
from serve.launch.target import LORA_LAYERS, Adapter
from serve.launch.template import template_traits

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORK_GIB = 1.0
"""What vLLM needs beside weights and KV cache: activations, CUDA context, graphs. A lower bound."""

FP8 = ("fp8", "fp8_per_channel", "fp8_per_tensor", "fp8_per_block")
"""Values of --quantization that halve 16-bit weights while they are loaded."""

UNMEASURED = (
    "--cpu-offload-gb",
    "--offload-group-size",
    "--kv-cache-dtype",
    "--kv-cache-memory-bytes",
    "--hf-overrides",
)
"""Flags that change what fits by an amount that is not counted here."""

KV_SPACE = "VLLM_CPU_KVCACHE_SPACE"


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
    yield Finding("ok", "files", f"{folder}, {_gib(weight_bytes(folder)):.2f} GiB of weights, complete")


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
    yield from _end_tokens(command.target.weights, tokenizer)


def _end_tokens(folder: Path, tokenizer: Tokenizer) -> Iterator[Finding]:
    """The ids at which a generation ends, and the sampling that requests get when they send none."""
    settings = read_json(folder / "generation_config.json") | {}
    eos = settings.get("eos_token_id", read_json(folder / "config.json").get("eos_token_id"))
    ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
    named = read_json(folder / "tokenizer_config.json").get("eos_token")
    own = tokenizer.token_to_id(named["content"] if isinstance(named, dict) else named) if named else None
    ends = {own, *(number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special)} - {None}
    if not ids:
        yield Finding(
            "warning",
            "generation",
            "neither generation_config.json nor config.json has an eos_token_id: answers end by the tokenizer's alone",
            "set eos_token_id to the end-of-turn token in generation_config.json",
        )
    elif strange := [number for number in ids if number not in ends]:
        text = tokenizer.id_to_token(strange[0]) if isinstance(strange[0], int) and strange[0] >= 0 else None
        size = tokenizer.get_vocab_size()
        what = f"outside the tokenizer's {size:,} tokens" if text is None else f"the ordinary token {text!r}"
        raise ConfigError(
            f"{folder}: eos_token_id {strange[0]!r} is {what}, where no answer ends",
            "take generation_config.json and the tokenizer from the same model",
        )
    elif own is not None and own not in ids:
        yield Finding(
            "warning",
            "generation",
            f"eos_token_id {ids} lacks {own}, the tokenizer's end token {tokenizer.id_to_token(own)}",
            "add it in generation_config.json: not every program stops there without",
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


def _length(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    """Whether the model was made for the context that is asked for."""
    model_config = read_json(command.target.weights / "config.json")
    length, longest = asked_length(command.argv), model_config.get("max_position_embeddings")
    rope = model_config.get("rope_parameters") or model_config.get("rope_scaling") or {}
    stretched = "factor" in rope or flag_value(command.argv, "--hf-overrides") is not None
    if os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") or stretched:
        longest = None
    if length and longest and length > longest:
        raise ConfigError(
            f"a context of {length:,} tokens is asked for, the model was made for {longest:,} "
            "(max_position_embeddings in its config.json)",
            f"set serve.max_model_len={longest} (after `--`: --max-model-len {longest}) or auto",
        )
    yield Finding("ok", "context", f"{length:,} tokens" if length else "as long as the memory holds")


def _ram(command: ServerCommand) -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    # What the user exported is not in the command; 0 leaves it to vLLM.
    kv_gib = parse_number(KV_SPACE, command.env.get(KV_SPACE) or os.environ.get(KV_SPACE, "0"), 4, least=0)
    length = asked_length(command.argv)
    if kv_gib and length:
        needed_gib = _gib(length * kv_bytes_per_token(read_json(command.target.weights / "config.json")))
        if needed_gib > kv_gib * _gpus_a_replica(command):
            yield _does_not_fit(
                command,
                f"a context of {length:,} tokens takes {needed_gib:.1f} GiB of KV cache, {KV_SPACE} is {kv_gib}",
                f"export {KV_SPACE}={math.ceil(needed_gib)}, or lower serve.max_model_len",
            )
    needed = weight_bytes(command.target.weights) + (kv_gib + WORK_GIB) * GIB
    seen = f"{_gib(needed):.1f} GiB needed ({kv_gib} of them KV cache), {_gib(available):.1f} GiB free"
    if needed > available:
        raise ConfigError(f"not enough memory: {seen}", f"free memory, or export {KV_SPACE}=1")
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
    share = flag_number(command.argv, "--gpu-memory-utilization", config.gpu_memory_utilization, least=0, most=1)
    for gpu in gpus[:wanted]:
        claim = share * gpu.total
        if gpu.free < claim:
            fits = int(100 * gpu.free / gpu.total) / 100
            raise ConfigError(
                f"GPU {gpu.index} ({gpu.name}): {_gib(gpu.free):.1f} of {_gib(gpu.total):.1f} GiB are free, "
                f"{_gib(claim):.1f} are asked for; in use by {gpu.users()}",
                f"stop what uses it, or set serve.gpu_memory_utilization={fits}",
            )
    yield from _context(command, share * gpus[0].total, shared_by)


def _gpus_a_replica(command: ServerCommand) -> int:
    """GPUs that share one copy of the weights, by ours or the user's flags."""
    return _count(command, "--tensor-parallel-size") * _count(command, "--pipeline-parallel-size")


def _gpus_here(command: ServerCommand) -> int | None:
    """GPUs that this machine must have; None where Ray finds them, on any machine of its cluster."""
    if "ray" in (flag_value(command.argv, f"--{what}-backend") for what in ("distributed-executor", "data-parallel")):
        return None
    replicas = flag_number(command.argv, "--data-parallel-size-local", _count(command, "--data-parallel-size"))
    return -(-_gpus_a_replica(command) * replicas // _count(command, "--nnodes"))


def _count(command: ServerCommand, flag: str) -> int:
    return flag_number(command.argv, flag, 1)


def _context(command: ServerCommand, claim: float, split: int) -> Iterator[Finding]:
    """Whether weights and one full context fit into what each of the `split` GPUs of a replica gives."""
    weights = command.target.weights
    if command.dummy:
        yield Finding("ok", "memory", f"{_gib(claim):.1f} GiB a GPU; the size of made-up weights is not looked at")
        return
    model_config = read_json(weights / "config.json")
    # A folder that is quantized already stays what it is.
    halved = flag_value(command.argv, "--quantization") in FP8 and "quantization_config" not in model_config
    model_bytes = weight_bytes(weights) * (0.5 if halved else 1) / split
    left = claim - model_bytes - WORK_GIB * GIB
    fits = int(left * split / kv_bytes_per_token(model_config))
    length = asked_length(command.argv)
    if fits < 256:
        yield _does_not_fit(
            command,
            f"weights of {_gib(model_bytes):.1f} GiB do not fit into {_gib(claim):.1f} GiB",
            "set serve.precision=fp8, serve an int8 or int4 export (docs/serving.md), raise "
            "serve.gpu_memory_utilization, or use more GPUs (serve.tensor_parallel_size)",
        )
    elif length and length > fits:
        yield _does_not_fit(
            command,
            f"a context of {length:,} tokens does not fit: there is room for about {fits:,}",
            f"set serve.max_model_len={fits // 256 * 256} or auto",
        )
    else:
        yield Finding("ok", "memory", f"{_gib(claim):.1f} GiB a GPU: room for about {fits:,} tokens of KV cache")


def _does_not_fit(command: ServerCommand, message: str, next_step: str) -> Finding:
    """An error, or a warning where the user's own flags make more room than was counted."""
    given = [flag for flag in UNMEASURED if flag_value(command.argv, flag) is not None]
    quantization = flag_value(command.argv, "--quantization")
    given += ["--quantization"] if quantization not in (None, *FP8) else []
    if not given:
        return Finding("error", "memory", message, next_step)
    return Finding("warning", "memory", f"{message}, not counting what {', '.join(given)} changes", next_step)


def _gib(count: float) -> float:
    return count / GIB


CHECKS: dict[str, Check] = {
    "files": _files,
    "tokenizer": _tokenizer,
    "template": _template,
    "adapter": _adapters,
    "port": _port,
    "context": _length,
    "memory": _memory,
}

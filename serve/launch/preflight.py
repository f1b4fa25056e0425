"""What would stop a server, found in seconds and before anything is started. Imports neither torch nor vllm."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from configs.errors import ConfigError, is_failure
from configs.machine import driver
from configs.machine.gpus import Card, Device, this_cpu, visible_cards
from configs.model import libraries
from configs.model.end_tokens import end_tokens
from configs.model.files import (
    check_model_folder,
    context_length,
    read_json,
    read_model_config,
    require_tokenizer,
    weight_bytes,
)
from configs.model.mixed_shape import MixedShape
from configs.model.serving_memory import (
    LEAST_CONTEXT,
    RESERVED_GB,
    WEIGHT_BYTES,
    Fit,
    Split,
    fit,
    kv_bytes_a_token,
    served_precision,
    weights_gb,
)
from configs.model.shape import DecoderShape, ModelShape, UnknownShape
from configs.recipe.schema import ServeConfig
from serve.launch.cards import count, gpus_here, is_free, require_cards
from serve.launch.command import (
    FP8,
    GIB,
    ServerCommand,
    asked_length,
    flag_number,
    flag_value,
    more_than_text,
    parse_number,
)
from serve.launch.ports import require_free_port
from serve.launch.processor import has_avx512
from serve.launch.target import LORA_LAYERS, Adapter, is_rounded
from serve.launch.template import template_traits

if TYPE_CHECKING:
    from tokenizers import Tokenizer


UNMEASURED = (
    "--cpu-offload-gb",
    "--offload-group-size",
    "--kv-cache-dtype",
    "--kv-cache-memory-bytes",
    "--hf-overrides",
)
"""Flags that change what fits by an amount that is not counted here."""

DTYPES = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32",
}  # fmt: skip
"""Values of --dtype that say how wide a weight is."""

UNKNOWN_SIZE = "not looked at: config.json does not tell how large this model becomes"
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
            "\n".join(f.message for f in failed),
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
    if flag_value(command.argv, "--tokenizer") is None:
        require_tokenizer(folder)
    if command.dummy:
        yield Finding("ok", "files", f"{folder}; vLLM makes up the weights")
        return
    yield Finding("ok", "files", f"{folder}, {_gib(weight_bytes(folder)):.2f} GiB of weights, complete")


def _processor(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    """What vLLM's CPU build computes 4-bit weights with is there for processors with AVX-512 only.

    On a GPU, what its driver and its compilers need.
    """
    if command.device == "cuda":
        driver.raise_what_blocks(driver.problems(driver.look()))
    if command.device == "cpu" and weight_bits(command.target.weights) == 4 and not has_avx512():
        raise ConfigError(
            f"{command.target.weights}: weights in 4 bits, for which vLLM's CPU build needs AVX-512; this processor "
            "lacks it",
            "serve the int8 export or the merged weights here, or take another machine for the int4 export",
        )
    named = set(read_model_config(command.target.weights).get("architectures") or ())
    images = more_than_text(command.target.weights) or named & set(libraries.vllm().beside_several)
    if command.device == "cpu" and images and not find_spec("torchvision"):
        raise ConfigError(
            f"{command.target.weights}: vLLM's class for a model with images imports torchvision, which is not "
            "installed; the one on PyPI is for CUDA and breaks Unsloth beside torch for a CPU",
            "run `pip install torchvision --index-url https://download.pytorch.org/whl/cpu` (the version that "
            "belongs to this torch), or serve on a machine with a GPU",
        )
    yield from ()


def weight_bits(folder: Path) -> int | None:
    """Bits of the weights in a folder of the `compressed-tensors` format; None for others."""
    groups = read_json(folder / "config.json").get("quantization_config", {}).get("config_groups", {})
    found = [group["weights"]["num_bits"] for group in groups.values() if group.get("weights")]
    return min(found, default=None)


def _tokenizer(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    from tokenizers import Tokenizer

    file = command.target.weights / "tokenizer.json"
    if not file.is_file():
        yield Finding("warning", "tokenizer", f"{file.parent}: no tokenizer.json; vLLM must convert a slow tokenizer")
        return
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except BaseException as error:  # tokenizers raises nothing narrower than Exception, and panics
        if not is_failure(error):
            raise
        raise ConfigError(
            f"{file}: does not load with the serving version: {error}",
            "copy tokenizer.json from the base model; it was written by another version",
        ) from error
    yield Finding("ok", "tokenizer", f"{tokenizer.get_vocab_size():,} tokens")
    yield from _end_tokens(command.target.weights, tokenizer)


def _end_tokens(folder: Path, tokenizer: Tokenizer) -> Iterator[Finding]:
    """The ids at which a generation ends, and the sampling that requests get when they send none."""
    settings = read_json(folder / "generation_config.json")
    ids, own = end_tokens(folder, tokenizer)
    if not ids:
        yield Finding(
            "warning",
            "generation",
            "neither generation_config.json nor config.json has an eos_token_id: answers end by the tokenizer's alone",
            "set eos_token_id to the end-of-turn token in generation_config.json",
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
    if not (adapter.folder / "adapter_model.safetensors").is_file():
        pickle = (adapter.folder / "adapter_model.bin").is_file()
        raise ConfigError(
            f"{adapter.folder}: adapter_model.safetensors is missing",
            "save it again with PEFT's save_pretrained: adapter_model.bin is a pickle, which can run code"
            if pickle
            else "run `tuneserve train` again",
        )
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
        yield from _gpu_memory(command, config, visible_cards({**os.environ, **command.env}))


def _length(command: ServerCommand, config: ServeConfig) -> Iterator[Finding]:
    """Whether the model was made for the context that is asked for."""
    length, longest = asked_length(command.argv), context_length(command.target.weights)
    if os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") or flag_value(command.argv, "--hf-overrides") is not None:
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
    length, shape = asked_length(command.argv), _shape(command)
    if shape is None:
        yield Finding("ok", "memory", UNKNOWN_SIZE)
        return
    if kv_gib and length:
        number_bytes = max(2, WEIGHT_BYTES.get(_precision(command, this_cpu()), 2))
        needed_gib = length * kv_bytes_a_token(shape, number_bytes=number_bytes) / GIB
        if needed_gib > kv_gib * _split(command).gpus:
            yield _does_not_fit(
                command,
                f"a context of {length:,} tokens takes {needed_gib:.1f} GiB of KV cache, {KV_SPACE} is {kv_gib}",
                f"run `export {KV_SPACE}={math.ceil(needed_gib)}`, or lower serve.max_model_len",
            )
    needed = (_weights_gb(command, shape, _precision(command, this_cpu()), Split()) + RESERVED_GB) * 1e9 + kv_gib * GIB
    seen = f"{_gib(needed):.1f} GiB needed ({kv_gib} of them KV cache), {_gib(available):.1f} GiB free"
    if needed > available:
        raise ConfigError(f"not enough memory: {seen}", f"free memory, or export {KV_SPACE}=1")
    yield Finding("ok", "memory", seen)


def _gpu_memory(command: ServerCommand, config: ServeConfig, cards: Sequence[Card]) -> Iterator[Finding]:
    wanted = gpus_here(command.argv)
    if wanted is None:  # Ray places the work, here or on other machines
        wanted = len(cards)
        if not cards:
            yield Finding("ok", "memory", "not looked at: Ray finds the GPUs")
            return
    require_cards(wanted, cards)
    share = flag_number(command.argv, "--gpu-memory-utilization", config.gpu_memory_utilization, least=0, most=1)
    for card in cards[:wanted]:
        total, free = card.device.memory_gb, card.free / 1e9
        if not is_free(card, share):
            raise ConfigError(
                f"GPU {card.index} ({card.name}): {free:.1f} of {total:.1f} GB are free, "
                f"{share * total:.1f} are asked for; in use by {card.users()}",
                f"stop what uses it, or set serve.gpu_memory_utilization={int(100 * free / total) / 100}",
            )
    yield from _context(command, share, cards[0].device, cards[:wanted])


def _context(command: ServerCommand, share: float, device: Device, cards: Sequence[Card]) -> Iterator[Finding]:
    """Whether weights and one full context fit into what each of the GPUs of a replica gives."""
    shape, split, precision = _shape(command), _split(command), _precision(command, device)
    if shape is None or (command.dummy and not isinstance(shape, ModelShape | MixedShape)):
        yield Finding("ok", "memory", UNKNOWN_SIZE)
        return
    weights = _weights_gb(command, shape, precision, split)
    length = asked_length(command.argv)
    found = fit(shape, device, share, weights, precision, split, length or LEAST_CONTEXT)
    if found.why_not:
        yield _does_not_fit(command, found.why_not, _next_step(found, length))
        return
    numbers = ", ".join(str(card.index) for card in cards)
    given = (
        f"GPU {numbers} ({device.name}): {share * device.memory_gb:.1f} GB "
        f"{'each' if len(cards) > 1 else 'to use'}, weights {found.weights_gb:.1f} GB"
    )
    yield Finding("ok", "memory", f"{given}: room for about {found.context:,} tokens of KV cache")


def _next_step(found: Fit, length: int | None) -> str:
    if length and found.context >= LEAST_CONTEXT:
        return f"set serve.max_model_len={found.context // 256 * 256} or auto"
    return (
        "set serve.precision=fp8, serve an int8 or int4 export (docs/serving.md), raise "
        "serve.gpu_memory_utilization, or use more GPUs (serve.tensor_parallel_size)"
    )


def _shape(command: ServerCommand) -> DecoderShape | None:
    """What the memory follows from; None for a model that is no plain decoder."""
    for kind in (ModelShape, MixedShape, DecoderShape):
        try:
            return kind.load(command.target.weights)
        except UnknownShape:
            continue
    return None


def _precision(command: ServerCommand, device: Device) -> str:
    """The precision that the flags ask for; `rounded` where the files are rounded already, and stay what they are."""
    if is_rounded(command.target.weights):
        return "rounded"
    if command.rounds:
        return "fp8"
    return served_precision(DTYPES.get(flag_value(command.argv, "--dtype") or "auto", "auto"), device)


def _weights_gb(command: ServerCommand, shape: DecoderShape, precision: str, split: Split) -> float:
    stored = weight_bytes(command.target.weights)
    return stored / split.gpus / 1e9 if precision == "rounded" else weights_gb(shape, precision, split, stored)


def _split(command: ServerCommand) -> Split:
    """GPUs that share one copy of the weights, by ours or the user's flags."""
    return Split(count(command.argv, "--tensor-parallel-size"), count(command.argv, "--pipeline-parallel-size"))


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
    "processor": _processor,
    "tokenizer": _tokenizer,
    "template": _template,
    "adapter": _adapters,
    "port": _port,
    "context": _length,
    "memory": _memory,
}

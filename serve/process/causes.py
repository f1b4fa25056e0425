"""Why a server did not start: the first real error in vLLM's log, in one sentence, with the flag to retry with.

vLLM's own last lines say only that the engine failed; what happened stands above them, often in another process's
traceback. The table goes from the specific to the general, and the first pattern that is found anywhere wins.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

LAST_BYTES = 1 << 22
"""Of a log that are looked at: what ended a server stands near the end."""


@dataclass(frozen=True)
class Cause:
    """What stopped a server."""

    kind: str
    """Short name, such as `out-of-memory`."""
    message: str
    """One sentence for the user."""
    next_step: str
    """What to do now."""
    retry: bool = False
    """Whether the same command may succeed later; a config error never does."""


@dataclass(frozen=True)
class Rule:
    """A line of vLLM's log and what it means; `{name}` in the texts stands for a named group of the pattern."""

    kind: str
    pattern: re.Pattern[str]
    message: str
    next_step: str
    retry: bool = False


GPU_MEMORY_STEP = (
    "stop the process that holds the memory (`nvidia-smi`), or set serve.gpu_memory_utilization to what is free"
)

RULES = (
    Rule(
        "port-in-use",
        re.compile(r"\[Errno 98\]|Address already in use"),
        "the port is taken by another process",
        "choose another port with serve.port=8001, or stop the other process (`ss -ltnp`)",
    ),
    Rule(
        "port-forbidden",
        re.compile(r"\[Errno 13\].*(?:bind|Permission denied)|\[Errno 99\]"),
        "the address or port cannot be listened on",
        "use serve.host=127.0.0.1 and a port above 1023",
    ),
    Rule(
        "bad-flag",
        re.compile(r"error: (?P<what>(?:unrecognized arguments|ambiguous option|argument )[^\n]*)"),
        "vLLM does not take an argument: {what}",
        "mend or leave out that argument (serve.args, or what stands after `--`); `vllm serve --help=all` lists them",
    ),
    Rule(
        "bad-parser",
        re.compile(r"(?P<what>invalid (?:reasoning|tool call) parser: \S+)"),
        "{what}",
        "leave the parser out, or name one of those that `vllm serve --help=all` lists",
    ),
    Rule(
        "gpu-memory-taken",
        re.compile(r"Free memory on device (?P<what>[^\n]*?) on startup is less than desired"),
        "the GPU's memory is taken by something else: free {what}",
        GPU_MEMORY_STEP,
        retry=True,
    ),
    Rule(
        "ram-taken",
        re.compile(
            r"Available memory on node \d+ (?P<what>\([^\n]*?\)) on (?:startup|kv cache allocation) is less than"
        ),
        "there is not enough free memory on this machine: {what}",
        "free memory, or set VLLM_CPU_KVCACHE_SPACE (GiB for the KV cache) to less",
        retry=True,
    ),
    Rule(
        "no-kv-memory",
        re.compile(r"No available memory for the cache blocks"),
        "the weights fit, but leave no memory for the KV cache",
        "raise serve.gpu_memory_utilization, take serve.precision=fp8, or use more GPUs (serve.tensor_parallel_size)",
    ),
    Rule(
        "context-too-long",
        re.compile(
            r"To serve at least one request with the model's max seq len \((?P<length>\d+)\)"
            r"(?:.*?estimated maximum model length is (?P<fits>\d+))?",
            re.DOTALL,
        ),
        "a context of {length} tokens does not fit into the memory for the KV cache",
        "set serve.max_model_len={fits} or less (`auto` finds it), or raise serve.gpu_memory_utilization",
    ),
    Rule(
        "context-too-long",
        re.compile(
            r"User-specified max_model_len \((?P<length>\d+)\) is greater than the derived max_model_len"
            r" \((?P<fits>[^)]*)\)"
        ),
        "serve.max_model_len is {length}, more than the model was made for ({fits})",
        "set serve.max_model_len=auto",
    ),
    Rule(
        "out-of-memory",
        re.compile(r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|HIP out of memory"),
        "the GPU ran out of memory while the model was loaded or warmed up",
        "lower serve.gpu_memory_utilization or serve.max_model_len, take serve.precision=fp8, or use more GPUs",
        retry=True,
    ),
    Rule(
        "disk-full",
        re.compile(r"No space left on device"),
        "the disk is full (the compile cache is written to ~/.cache/vllm)",
        "free disk space, or point VLLM_CACHE_ROOT at a disk with room",
    ),
    Rule(
        "shared-memory",
        re.compile(r"unable to (?:mmap|open shared memory|allocate shared memory)|Bus error"),
        "there is too little shared memory (/dev/shm)",
        "in a container, start it with --ipc=host or --shm-size=8g",
    ),
    Rule(
        "too-few-gpus",
        re.compile(r"World size \((?P<wanted>\d+)\) is larger than the number of available GPUs \((?P<have>\d+)\)"),
        "{wanted} GPUs are asked for, {have} can be seen",
        "lower serve.tensor_parallel_size or pipeline_parallel_size, or look at CUDA_VISIBLE_DEVICES",
    ),
    Rule(
        "uneven-split",
        re.compile(
            r"(?P<what>Total number of attention heads \(\d+\) must be divisible by tensor parallel size \(\d+\))"
        ),
        "the model's heads cannot be split over that many GPUs: {what}",
        "set serve.tensor_parallel_size to a divisor of the number of attention heads",
    ),
    Rule(
        "old-gpu",
        re.compile(r"Bfloat16 is only supported on GPUs"),
        "this GPU has no bfloat16",
        "set serve.precision=fp16",
    ),
    Rule(
        "old-gpu",
        re.compile(r"is not supported for the current GPU\. Minimum capability: (?P<minimum>\d+)"),
        "this GPU is too old for the chosen precision (it needs compute capability {minimum})",
        "set serve.precision=bf16, or fp16 on a GPU without bf16",
    ),
    Rule(
        "driver",
        re.compile(
            r"(?:NVIDIA driver on your system is too old|CUDA driver version is insufficient|unsupported display driver"
            r"|no kernel image is available|libcuda\.so)"
        ),
        "the NVIDIA driver does not fit the installed CUDA build",
        "update the driver, or install the build for it (`bash scripts/setup.sh`); `tuneserve doctor` shows both",
    ),
    Rule(
        "no-gpu",
        re.compile(r"No CUDA GPUs are available|Failed to infer device type|CUDA_ERROR_NO_DEVICE"),
        "vLLM sees no GPU",
        "look at `nvidia-smi` and CUDA_VISIBLE_DEVICES; without a GPU install the CPU build: `bash scripts/setup.sh`",
    ),
    Rule(
        "adapter-rank",
        re.compile(r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank (?P<most>\d+)"),
        "the adapter's rank {rank} is above --max-lora-rank {most}",
        "leave --max-lora-rank out, it follows from the adapter; or serve the merged weights",
    ),
    Rule(
        "adapter",
        re.compile(
            r"(?P<what>vLLM (?:only supports modules_to_save being either None|does not (?:yet )?support (?:DoRA"
            r"|LoRA bias|init_lora_weights=|Activated LoRA|layer_replication|block-diagonal LoRA|QALoRA))[^\n]*"
            r"|expected target modules in[^\n]*)"
        ),
        "vLLM cannot serve this adapter beside its base: {what}",
        "serve the merged weights: `tuneserve merge RUN`, then `tuneserve serve RUN`",
    ),
    Rule(
        "no-chat-template",
        re.compile(
            r"(?:default chat template is no longer allowed|does not have a (?:default )?chat template"
            r"|chat template string[^\n]*looks like a file path[^\n]*)"
        ),
        "the chat template is missing",
        "serve an instruct model, or give a template with `-- --chat-template FILE`",
    ),
    Rule(
        "damaged-weights",
        re.compile(
            r"(?P<what>SafetensorError[^\n]*|Error while deserializing header[^\n]*|MetadataIncompleteBuffer[^\n]*"
            r"|Cannot find any model weights[^\n]*)"
        ),
        "the weights are damaged or not complete: {what}",
        "download the model again, or repeat `tuneserve merge RUN --force`",
    ),
    Rule(
        "wrong-shapes",
        re.compile(
            r"(?P<what>(?:size mismatch for|There is no module or parameter named"
            r"|Following weights were not initialized)[^\n]*)"
        ),
        "the weights do not belong to config.json: {what}",
        "take config.json and the weights from the same model; repeat `tuneserve merge RUN --force`",
    ),
    Rule(
        "unknown-model",
        re.compile(
            r"(?P<what>Model architectures \[[^\]]*\] are not supported|does not recognize this architecture[^\n]*"
            r"|model type `[^`]*` but Transformers does not recognize)"
        ),
        "this version of vLLM or transformers does not know the model: {what}",
        "install the pinned versions with `bash scripts/setup.sh`, or a newer vLLM that knows it",
    ),
    Rule(
        "bad-tokenizer",
        re.compile(
            r"(?P<what>(?:Tokenizer class \S+ does not exist|Can't load tokenizer for|Couldn't instantiate the backend"
            r" tokenizer|data did not match any variant of untagged enum)[^\n]*)"
        ),
        "the tokenizer files do not load: {what}",
        "copy the base model's tokenizer files over them; they were written by another version of transformers",
    ),
    Rule(
        "bad-config",
        re.compile(r"(?P<what>Value error, [^\n]*)"),
        "vLLM refuses the settings: {what}",
        "change what it names in the `serve` section or after `--`",
    ),
    Rule(
        "incompatible-version",
        re.compile(r"(?P<what>(?:ImportError|ModuleNotFoundError|undefined symbol)[^\n]*)"),
        "installed packages do not fit together: {what}",
        "install the pinned versions with `bash scripts/setup.sh`; `tuneserve doctor` shows what differs",
    ),
    Rule(
        "nccl",
        re.compile(r"(?P<what>ncclSystemError|ncclUnhandledCudaError|NCCL error[^\n]*)"),
        "the GPUs cannot talk to each other: {what}",
        "set NCCL_DEBUG=INFO and start again; in a container add --ipc=host",
        retry=True,
    ),
    Rule(
        "engine-died",
        re.compile(r"EngineDeadError|EngineCore encountered an issue"),
        "vLLM's engine process died",
        "see the log; if it happens again, start with `-- --enforce-eager`",
        retry=True,
    ),
)

_TELLS_NOTHING = re.compile(r"Engine core initialization failed")
# Lines in which a rule's words stand without being the cause.
_NOISE = re.compile(r"DeprecationWarning|FutureWarning|Failed to load .*torchao|not found in LD_PRELOAD")
_ERROR_LINE = re.compile(r"^(?:\(.*?\) )?(?:ERROR [^\]]*\] )?(?P<error>(?:[a-zA-Z_.]+)?(?:Error|Exception): .+)$")
_KILLED = Cause(
    "killed",
    "the server was killed (SIGKILL); most often because the machine ran out of memory",
    "free memory (`dmesg` names what was killed), or set VLLM_CPU_KVCACHE_SPACE or serve.max_model_len to less",
    retry=True,
)


def find_cause(log: str, exit_code: int | None = None) -> Cause:
    """Finds why a server ended.

    Args:
        log: what it wrote since it was started.
        exit_code: its exit code, negative for a signal; None when it still runs or is not known.
    """
    text = "\n".join(line for line in log.splitlines() if not _NOISE.search(line))
    for rule in RULES:
        if found := rule.pattern.search(text):
            groups = {name: value or "a smaller number" for name, value in found.groupdict().items()}
            return Cause(rule.kind, rule.message.format(**groups), rule.next_step.format(**groups), rule.retry)
    if exit_code == -signal.SIGKILL:
        return _KILLED
    last = _last_error(text)
    ended = "did not get ready" if exit_code is None else _ending(exit_code)
    if last:
        return Cause("unknown", f"vLLM {ended}: {last}", "see the log for the whole story", retry=True)
    return Cause("unknown", f"vLLM {ended} without saying why", "see the log", retry=True)


def log_since(log: Path, offset: int) -> str:
    """What was appended to a log after `offset` bytes: the end of it, for a server of many days writes gigabytes.

    A log that is shorter was cut by its owner since, and all of it is new.
    """
    if not log.exists():
        return ""
    with log.open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(offset if offset <= size else 0, size - LAST_BYTES))
        return handle.read().decode("utf-8", errors="replace")


def _last_error(text: str) -> str | None:
    """The first error line of the last traceback, which is the one that was raised first."""
    errors = [m["error"] for line in text.splitlines() if (m := _ERROR_LINE.match(line.strip()))]
    telling = [e for e in errors if not _TELLS_NOTHING.search(e)]
    return telling[0][:300] if telling else None


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    return f"was ended by {signal.Signals(-exit_code).name}"

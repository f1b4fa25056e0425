"""The llama.cpp command line for a run's GGUF file, for cards and machines that vLLM does not fit.

Only printed, never started: llama.cpp is no part of the environment. What a run decides for vLLM it decides here too:
name, thinking mode, context, and the sampling that clients get when they send none. Flags:
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.handover.training import Family
from configs.model.files import read_json
from configs.recipe.load import load_config
from configs.recipe.schema import ServeConfig
from configs.run.merged import has_other_gguf
from configs.run.rundir import RunDir
from configs.terminal.console import errors, ours, shell
from serve.launch.command import is_loopback

SAMPLING_FLAGS = {"temperature": "--temp", "top_p": "--top-p", "top_k": "--top-k", "min_p": "--min-p"}
"""Sampling of generation_config.json: the default of requests in vLLM, while llama.cpp has defaults of its own."""


def llama_cpp_command(
    file: Path,
    name: str,
    config: ServeConfig,
    *,
    family: Family,
    thinking: bool | None,
    generation: Mapping[str, Any],
) -> list[str]:
    """The `llama-server` command for a GGUF file.

    Args:
        file: the GGUF file.
        name: model name that clients use; `serve.aliases` are added to it.
        config: the `serve` section; what llama.cpp has no counterpart for is left out.
        family: how the chat template treats thinking.
        thinking: thinking mode that requests get by default; None leaves it to the template.
        generation: the model's generation_config.json.

    Returns:
        The arguments. An API key is not among them: llama-server takes it from LLAMA_API_KEY.
    """
    context = "0" if config.max_model_len == "auto" else str(config.max_model_len)  # 0: what the file says
    command = ["llama-server", "--model", str(file), "--alias", ",".join([name, *config.aliases])]
    command += ["--host", config.host, "--port", str(config.port), "--ctx-size", context, "--jinja"]
    if family == "switchable" and thinking is not None:
        command += ["--chat-template-kwargs", json.dumps({"enable_thinking": thinking})]
    if family != "none":
        command += ["--reasoning-format", "deepseek"]
    for key, flag in SAMPLING_FLAGS.items():
        if generation.get(key) is not None:
            command += [flag, str(generation[key])]
    if config.cors_origins:
        command += ["--cors-origins", ",".join(config.cors_origins)]
    return command


def llama_cpp_line(run: RunDir, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> str | None:
    """The command for the GGUF file of a run, as a line for a shell; None where it has none of its weights.

    Args:
        run: the run.
        overrides: `serve.port=8001` and the like, over the run's recipe.
        environ: where the API key is looked up; only the name of its variable is in the line.
    """
    files = sorted(run.gguf.glob("*.gguf"))
    if not files:
        return None
    if has_other_gguf(run):  # said beside the line, which a shell may be handed
        again = shell("tuneserve", "merge", run.path, "--format", "gguf")
        errors.print(ours(f"{run.gguf} is not of the merged weights; to write it again: {again}"))
        return None
    config, manifest = load_config(run.config_file, overrides), run.read()
    stage, facts = manifest.stages.get("gguf"), manifest.facts.prepared
    # Beside the run's own file somebody may have put another.
    own = [file for file in files if stage and str(file.relative_to(run.path)) in stage.outputs]
    settings = run.merged / "generation_config.json"
    if not settings.is_file() and facts is not None:  # the merged weights were removed to make room
        settings = facts.base_model / settings.name
    command = llama_cpp_command(
        (own or files)[0],
        config.served_name,
        config.serve,
        family=facts.family if facts else "none",
        thinking=manifest.thinking,
        generation=read_json(settings),
    )
    key = config.serve.api_key_env
    # As with vLLM: beyond loopback a key is needed, and the shell stops where its variable is not set.
    guarded = key in environ or not is_loopback(config.serve.host)
    return (f'LLAMA_API_KEY="${{{key}:?set an API key}}" ' if guarded else "") + shlex.join(command)

"""What follows `--` cannot hide from our checks: no abbreviation, no file, no piece of a flag, no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from configs.errors import ConfigError
from configs.recipe.schema import ServeConfig
from serve.launch.command import ServerCommand, build_command, flag_value
from serve.launch.target import Target
from serve.launch.user_flags import CODE, NAMING, REFUSED, SECRETS, WATCHED
from tests.serve.launch.test_command import target

__all__ = ["target"]  # the fixture


def built(target: Target, *typed: str, recipe: Sequence[str] = (), **environ: str) -> ServerCommand:
    return build_command(target, ServeConfig(args=list(recipe)), typed, device="cuda", environ=environ)


OPEN_HOSTS = [
    ["--hos", "0.0.0.0"],
    ["--hos=0.0.0.0"],
    ["--ho", "::"],
    ["--host", "0.0.0.0"],
    ["--host=0.0.0.0"],
    ["--host", "127.0.0.1", "--host", "0.0.0.0"],
    ["--host", ""],  # vLLM listens on every address
    ["--host="],
    ["--host.x", "0.0.0.0"],
    ["--host", "0.0.0.0", "--", "--host=127.0.0.1"],  # vLLM takes nothing behind `--` for a flag
    ["--config", "server.yaml"],
    ["--config=server.yaml"],
    ["--conf", "server.yaml"],
    ["--uds", "/tmp/open.sock"],
    ["--grpc"],
    ["--ssl-certfile", "cert.pem"],
    ["--grpc-port=9000"],
    ["--grpc_por", "9000"],
    ["--kv-events-config", '{"enable_kv_cache_events": true}'],
]


@pytest.mark.parametrize("typed", OPEN_HOSTS, ids=" ".join)
@pytest.mark.parametrize("where", ["typed", "recipe"])
def test_no_spelling_opens_a_server_without_a_key(typed: list[str], where: str, target: Target):
    with pytest.raises(ConfigError) as refused:
        built(target, *typed) if where == "typed" else built(target, recipe=typed)
    assert refused.value.next_step


@pytest.mark.parametrize(
    "flag", ["--api-key", "--api_key", "--api-ke", "--api-k", "--api_ke", "--api-key.x", "--hf-tok"]
)
@pytest.mark.parametrize("form", ["{} very-secret", "{}=very-secret"])
def test_no_spelling_puts_a_secret_on_the_command_line(flag: str, form: str, target: Target):
    with pytest.raises(ConfigError, match="would show a secret") as refused:
        built(target, *form.format(flag).split())
    assert "very-secret" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(WATCHED | CODE))
def test_every_beginning_of_a_watched_flag_is_refused(name: str, target: Target):
    for length in range(len("--x"), len(name)):
        short = name[:length]
        if short not in WATCHED | CODE:
            with pytest.raises(ConfigError):
                built(target, short, "1", TUNESERVE_API_KEY="k")


def test_what_is_written_in_full_passes(target: Target):
    typed = [
        "--max-num-seqs",
        "8",
        "--host=127.0.0.1",
        "--no-enable-lora",
        "--max_model_len",
        "4k",
        "--seed=1",
        "-tp",
        "2",
    ]
    command = built(target, *typed, "--middleware", "mine.Own", "--trust-remote-code")
    assert command.argv[-len(typed) - 3 :][: len(typed)] == tuple(typed)


def test_a_name_that_is_typed_is_looked_at_too(target: Target):
    assert built(target, "--served-model-name", "a", "b").names == ("a", "b")
    with pytest.raises(ConfigError, match="--served-model-name is "):
        built(target, "--served-model-name", "a", "[/x]")


@pytest.mark.parametrize(
    "recipe",
    [
        *([flag, "x"] for flag in sorted(CODE)),
        ["--structured-outputs-config", '{"reasoning_parser_plugin": "x.py"}'],
        ['--structured_outputs_config={"reasoning_parser_plugin": "x\\u002epy"}'],
        ["--structured-outputs-config.reasoning_parser_plugin", "x.py"],
        ["-cc", '{"inductor_compile_config": {"cpp.cxx": ["x"]}}'],
        ["-cc.cache_dir=x"],
        ["--compilation-config", '{"cache_dir": "/x"}'],
        ["--compilation-config", '{"debug_dump_path": "src"}'],
        ['-s={"method": "custom_class", "model": "x.Y"}'],
        ["--spec-model", "x.Y"],
        ["--distributed-executor-backend=x.Y"],
    ],
    ids=" ".join,
)
def test_a_recipe_brings_no_code(recipe: list[str], target: Target):
    with pytest.raises(ConfigError, match=r"serve\.args"):
        built(target, recipe=recipe)


def test_a_recipe_may_choose_settings_that_name_nothing(target: Target):
    recipe = ["-tp", "2", "-O2", "--compilation-config", '{"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY"}']
    recipe += ['--structured-outputs-config={"backend": "xgrammar"}', "--hf-overrides", '{"rope_theta": 1.5e6}']
    assert built(target, recipe=recipe).argv[-len(recipe) :] == tuple(recipe)


@pytest.mark.parametrize("key", ["a b", "a\n", "a\r\nX: y", "钥匙", "\x1b[2J"])
def test_a_key_that_no_request_can_carry_is_refused(key: str, target: Target):
    with pytest.raises(ConfigError, match="TUNESERVE_API_KEY holds") as refused:
        built(target, TUNESERVE_API_KEY=key)
    assert key not in str(refused.value)


def test_a_front_end_without_the_gate_is_refused(target: Target):
    with pytest.raises(ConfigError, match="RUST_FRONTEND"):
        built(target, TUNESERVE_API_KEY="k", VLLM_USE_RUST_FRONTEND="1")


PARSER = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
print(json.dumps([o for a in make_arg_parser(FlexibleArgumentParser())._actions for o in a.option_strings]))
"""


@pytest.mark.slow
def test_every_flag_here_is_one_of_vllms_and_none_of_vllms_is_taken_for_a_short_one(target: Target):
    ran = subprocess.run([sys.executable, "-c", PARSER], capture_output=True, text=True, check=True)
    flags = set(json.loads(ran.stdout.splitlines()[-1]))
    assert WATCHED | CODE | NAMING | REFUSED.keys() | SECRETS.keys() <= flags
    for flag in sorted(f for f in flags if f.startswith("--") and f not in REFUSED.keys() | SECRETS.keys()):
        given = {"--host": "127.0.0.1", "--port": "8000", "--shutdown-timeout": "5"}.get(flag, "1")
        assert flag_value(built(target, flag, given, TUNESERVE_API_KEY="k").argv, flag) is not None

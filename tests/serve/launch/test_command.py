"""The command line that follows from a recipe, and what the user's own arguments do to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from configs.errors import ConfigError
from configs.recipe.schema import ServeConfig
from scripts.cli import main
from serve.launch.command import asked_length, build_command, flag_value, flag_values, is_loopback
from serve.launch.preflight import check_adapter
from serve.launch.target import Adapter, Target, folder_target, read_adapter
from serve.launch.template import template_traits
from serve.launch.usage import curl_line, usage_text
from tests.serve.fakes import fake_command


@pytest.fixture
def target(tmp_path: Path) -> Target:
    config = {
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "hidden_size": 1024,
        "max_position_embeddings": 40960,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return Target(tmp_path, ("mine", "mine-latest"), family="switchable", thinking=False, tool_parser="hermes")


def value(command, flag: str) -> str | None:
    return flag_value(command.argv, flag)


def test_the_manifest_decides_names_thinking_and_parsers(target: Target):
    command = build_command(target, ServeConfig(), device="cuda", environ={})
    assert command.argv[1:4] == ("-m", "vllm.entrypoints.cli.main", "serve")
    at = command.argv.index("--served-model-name")
    assert command.argv[at + 1 : at + 3] == ("mine", "mine-latest")
    assert json.loads(value(command, "--default-chat-template-kwargs") or "") == {"enable_thinking": False}
    assert value(command, "--reasoning-parser") == "qwen3"
    assert value(command, "--tool-call-parser") == "hermes"
    assert "--enable-auto-tool-choice" in command.argv
    assert value(command, "--host") == "127.0.0.1"
    assert value(command, "--max-model-len") == "auto"
    assert value(command, "--gpu-memory-utilization") == "0.9"
    assert command.names == ("mine", "mine-latest")


def test_no_reasoning_parser_without_a_trained_default_where_nothing_thinks(target: Target):
    plain = Target(target.weights, ("mine",), family="none", thinking=False)
    command = build_command(plain, ServeConfig(), device="cuda", environ={})
    assert value(command, "--reasoning-parser") is None
    assert value(command, "--default-chat-template-kwargs") is None


def test_the_cpu_build_starts_as_a_module_without_compilation(target: Target):
    command = build_command(target, ServeConfig(), device="cpu", available_ram=64 << 30, environ={})
    assert command.argv[1:3] == ("-m", "vllm.entrypoints.openai.api_server")
    assert "--enforce-eager" in command.argv
    assert value(command, "--gpu-memory-utilization") is None
    assert command.env["VLLM_CPU_NUM_OF_RESERVED_CPU"] == "0"
    assert command.env["VLLM_CPU_KVCACHE_SPACE"] == "16"
    assert command.env["VLLM_NO_USAGE_STATS"] == "1"


def test_the_users_environment_wins_over_settings_but_not_over_telemetry(target: Target):
    environ = {"VLLM_CPU_KVCACHE_SPACE": "3", "VLLM_NO_USAGE_STATS": "0"}
    command = build_command(target, ServeConfig(), device="cpu", environ=environ)
    assert "VLLM_CPU_KVCACHE_SPACE" not in command.env
    assert command.env["VLLM_NO_USAGE_STATS"] == "1"


def test_on_a_gpu_nothing_is_compiled_with_nvcc_unless_the_user_asks(target: Target):
    assert build_command(target, ServeConfig(), device="cuda", environ={}).env["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    asked = build_command(target, ServeConfig(), device="cuda", environ={"VLLM_USE_FLASHINFER_SAMPLER": "1"})
    assert "VLLM_USE_FLASHINFER_SAMPLER" not in asked.env


@pytest.mark.parametrize(
    ("flags", "interface"),
    [
        ([], "lo"),
        (["--nnodes=2"], None),
        (["--data_parallel_backend", "ray"], None),
        (["--tensor-parallel-size=2"], "lo"),
    ],
)
def test_processes_of_one_machine_meet_where_no_other_reaches_them(flags: list[str], interface: str, target: Target):
    env = build_command(target, ServeConfig(), flags, device="cuda", environ={}).env
    assert (env.get("GLOO_SOCKET_IFNAME"), env.get("NCCL_SOCKET_IFNAME")) == (interface, interface)


def test_the_users_arguments_come_last_unchanged_and_replace_ours(target: Target):
    extra = ["--max_model_len=2048", "--port", "9001", "--no-enable-prefix-caching", "--served-model-name", "a", "b"]
    command = build_command(target, ServeConfig(args=["--seed", "3"]), extra, device="cuda", environ={})
    assert list(command.argv[-len(extra) :]) == extra
    assert command.argv[-len(extra) - 2 : -len(extra)] == ("--seed", "3")
    assert set(command.overridden) == {"--max-model-len", "--port", "--served-model-name"}
    assert "auto" not in command.argv
    assert (command.port, command.names) == (9001, ("a", "b"))


@pytest.mark.parametrize(
    ("precision", "flags"),
    [
        ("auto", ()),
        ("bf16", ("--dtype", "bfloat16")),
        ("fp16", ("--dtype", "float16")),
        ("fp8", ("--quantization", "fp8_per_channel")),
    ],
)
def test_precision(precision: str, flags: tuple[str, ...], target: Target):
    command = build_command(target, ServeConfig.model_validate({"precision": precision}), device="cuda", environ={})
    found = [(name, value(command, name)) for name in ("--dtype", "--quantization") if value(command, name)]
    assert found == ([flags] if flags else [])


@pytest.mark.parametrize(("rank", "flag"), [(1, "1"), (8, "8"), (12, "16"), (100, "128"), (512, "512")])
def test_the_lora_rank_is_rounded_up_to_what_vllm_takes(rank: int, flag: str, target: Target, tmp_path: Path):
    adapters = (Adapter("tuned", tmp_path / "adapter", rank, ("q_proj",)),)
    served = Target(target.weights, ("mine-base",), adapters, "switchable", False)
    command = build_command(served, ServeConfig(), device="cuda", environ={})
    assert value(command, "--max-lora-rank") == flag
    assert value(command, "--lora-modules") == f"tuned={tmp_path / 'adapter'}"
    assert command.env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert command.names == ("mine-base", "tuned")
    assert served.name == "tuned"


def test_batch_invariance_is_vllms_own_and_refused_where_there_is_none(target: Target):
    config = ServeConfig(batch_invariant=True)
    assert build_command(target, config, device="cuda", environ={}).env["VLLM_BATCH_INVARIANT"] == "1"
    assert "VLLM_BATCH_INVARIANT" not in build_command(target, ServeConfig(), device="cuda", environ={}).env
    with pytest.raises(ConfigError, match="GPUs only") as failure:
        build_command(target, config, device="cpu", environ={})
    assert "eval.repeat_base" in failure.value.next_step


def test_parallel_sizes_reach_vllm(target: Target):
    config = ServeConfig(tensor_parallel_size=2, pipeline_parallel_size=3, data_parallel_size=4)
    command = build_command(target, config, device="cuda", environ={})
    flags = ("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size")
    assert [value(command, flag) for flag in flags] == ["2", "3", "4"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5"])
def test_beyond_loopback_a_key_is_required(host: str, target: Target):
    with pytest.raises(ConfigError, match="no API key") as failure:
        build_command(target, ServeConfig(host=host), device="cuda", environ={})
    assert failure.value.exit_code == 2
    assert "TUNESERVE_API_KEY" in failure.value.next_step
    environ = {"TUNESERVE_API_KEY": "very-secret"}
    command = build_command(target, ServeConfig(host=host), device="cuda", environ=environ)
    assert "very-secret" not in command.shown()
    assert "very-secret" not in str(command)
    assert 'VLLM_API_KEY="$TUNESERVE_API_KEY"' in command.shown()


@pytest.mark.parametrize("extra", [[], ["--host", "10.1"], ["--host=0.0.0.0.example.org"]])
def test_a_name_that_may_stand_for_other_machines_is_sent_no_key(extra: list[str], target: Target):
    config = ServeConfig(host="127.0.0.1" if extra else "example.org")
    with pytest.raises(ConfigError, match="may stand for another machine"):
        build_command(target, config, extra, device="cuda", environ={"TUNESERVE_API_KEY": "very-secret"})


def test_a_host_among_the_users_arguments_counts_too(target: Target):
    with pytest.raises(ConfigError, match="no API key"):
        build_command(target, ServeConfig(), ["--host", "0.0.0.0"], device="cuda", environ={})


def test_a_key_on_the_command_line_is_refused(target: Target):
    with pytest.raises(ConfigError, match="list of processes"):
        build_command(target, ServeConfig(), ["--api-key", "secret"], device="cuda", environ={})


def test_cors_is_off_unless_asked_for(target: Target):
    assert value(build_command(target, ServeConfig(), device="cuda", environ={}), "--allowed-origins") is None
    config = ServeConfig(cors_origins=["https://app.example"])
    command = build_command(target, config, device="cuda", environ={})
    assert json.loads(value(command, "--allowed-origins") or "") == ["https://app.example"]


def test_the_url_of_an_open_server_is_one_that_this_machine_can_use(target: Target):
    environ = {"TUNESERVE_API_KEY": "k"}
    command = build_command(target, ServeConfig(host="0.0.0.0"), device="cuda", environ=environ)
    assert command.base_url == "http://127.0.0.1:8000/v1"
    command = build_command(target, ServeConfig(host="::"), device="cuda", environ=environ)
    assert command.base_url == "http://[::1]:8000/v1"


@pytest.mark.parametrize(
    ("host", "yes"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False)]
)
def test_loopback(host: str, yes: bool):
    assert is_loopback(host) is yes


def test_the_demo_model_can_switch_thinking_and_call_tools(demo_model: Path):
    traits = template_traits(demo_model)
    assert (traits.family, traits.tool_parser) == ("switchable", "hermes")
    assert folder_target(demo_model, name="x", thinking=True).names == ("x",)


@pytest.mark.parametrize(
    ("template", "family"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "none"),
        ("{{ messages[0].content }}<think>\n", "always"),
        ("{{ messages[0].content }}{% if enable_thinking is false %}<think>\n\n</think>{% endif %}", "switchable"),
    ],
)
def test_the_family_is_found_by_rendering(template: str, family: str, tmp_path: Path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    assert template_traits(tmp_path).family == family


def test_a_model_without_a_template_is_refused(tmp_path: Path):
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no chat template"):
        template_traits(tmp_path)


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("use_dora", True),
        ("modules_to_save", ["lm_head"]),
        ("r", 1024),
        ("lora_bias", True),
        ("bias", "all"),
        ("alora_invocation_tokens", [1, 2]),
        ("layer_replication", [[0, 2]]),
        ("use_bdlora", {"target_modules_bd_a": ["q_proj"]}),
        ("use_qalora", True),
    ],
)
def test_adapters_that_vllm_refuses_are_refused_with_the_way_out(key: str, given: object, tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 8, "target_modules": ["q_proj"], key: given}))
    with pytest.raises(ConfigError) as failure:
        read_adapter("tuned", tmp_path)
    assert "merged weights" in failure.value.next_step


def test_an_adapter_whose_training_changed_the_base_is_refused(tmp_path: Path):
    config = '{"r": 8, "target_modules": ["q_proj"], "init_lora_weights": "%s"}'
    (tmp_path / "adapter_config.json").write_text(config % "gaussian")
    assert read_adapter("tuned", tmp_path).rank == 8
    (tmp_path / "adapter_config.json").write_text(config % "pissa_niter_16")
    with pytest.raises(ConfigError, match="changed the base too") as failure:
        read_adapter("tuned", tmp_path)
    assert "path_initial_model_for_weight_conversion" in failure.value.next_step


def test_an_adapter_of_another_kind_is_named(tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')
    with pytest.raises(ConfigError, match="no rank"):
        read_adapter("tuned", tmp_path)


def test_the_layers_of_a_pattern_are_read_from_the_tensors(tmp_path: Path):
    tensors = {f"base_model.model.{layer}.lora_A.weight": np.zeros((8, 8)) for layer in ("model.0.q_proj", "lm_head")}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"r": 8, "target_modules": ".*(q_proj|lm_head)"}')
    adapter = read_adapter("tuned", tmp_path)
    assert adapter.modules == ("lm_head", "q_proj")
    with pytest.raises(ConfigError, match="adapts lm_head"):
        check_adapter(adapter)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(ConfigError, match="is missing") as refused:
        check_adapter(adapter)
    assert "pickle" in (refused.value.next_step or "")


def told(model: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["serve", str(model), "--print-only", "--", *flags])
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(("flag", "value"), [("--port", "abc"), ("--port", "99999"), ("--shutdown-timeout", "x")])
def test_a_number_that_is_none_is_told(flag: str, value: str, demo_model: Path, capsys: pytest.CaptureFixture[str]):
    said = told(demo_model, capsys, flag, value)
    assert f"error: {flag} is '{value}', no whole number" in said
    assert f"next: give one, e.g. {flag}=" in said


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff"])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_a_damaged_file_of_the_model_is_named(
    file: str, text: bytes, demo_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = shutil.copytree(demo_model, tmp_path / "model")
    (model / file).write_bytes(text)
    assert f"error: {model / file}: " in told(model, capsys)


def test_the_context_length_is_read_as_vllm_reads_it():
    lengths = {"auto": None, "-1": None, "4096": 4096, "25.6k": 25600, "8K": 8192, "1m": 10**6}
    assert {given: asked_length(["--max-model-len", given]) for given in lengths} == lengths


def test_the_rank_of_an_adapter_with_a_rank_pattern_is_its_largest(tmp_path: Path):
    config = {"r": 8, "rank_pattern": {"q_proj": 24}, "target_modules": ["q_proj", "v_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    adapter = read_adapter("tuned", tmp_path)
    assert (adapter.rank, adapter.modules) == (24, ("q_proj", "v_proj"))


def test_a_copy_of_the_demo_model_is_served_under_its_folders_name(demo_model: Path, tmp_path: Path):
    shutil.copytree(demo_model, tmp_path / "my-model")
    assert folder_target(tmp_path / "my-model").name == "my-model"


def test_a_base_can_be_made_to_take_adapters_later(target: Target):
    extra = ["--enable-lora", "--max-lora-rank", "64"]
    command = build_command(target, ServeConfig(), extra, device="cpu", environ={})
    assert command.env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert "q_proj" in flag_values(command.argv, "--lora-target-modules")
    own = build_command(target, ServeConfig(), [*extra, "--lora-target-modules", "o_proj"], device="cpu", environ={})
    assert flag_values(own.argv, "--lora-target-modules") == ("o_proj",)
    without = build_command(target, ServeConfig(), device="cpu", environ={})
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in without.env
    assert flag_values(without.argv, "--lora-target-modules") == ()


def test_on_a_cpu_the_base_is_kept_apart_from_the_places_of_adapters(target: Target):
    adapters = tuple(Adapter(name, Path(f"/{name}"), 8) for name in "ab")
    two = replace(target, adapters=adapters)
    base = replace(target, adapters=()), ["--enable-lora"]
    for asked, extra in ((two, []), base):
        on_cpu = build_command(asked, ServeConfig(), extra, device="cpu", environ={})
        assert flag_value(on_cpu.argv, "--worker-extension-cls") == "serve.launch.no_adapter.BaseRows"
        on_gpu = build_command(asked, ServeConfig(), extra, device="cuda", environ={})
        assert flag_value(on_gpu.argv, "--worker-extension-cls") is None
    given = build_command(two, ServeConfig(), device="cpu", environ={}).argv
    assert (flag_value(given, "--max-loras"), flag_value(given, "--max-cpu-loras")) == ("2", "34")
    more = build_command(two, ServeConfig(), ["--max-loras", "40"], device="cpu", environ={}).argv
    assert flag_value(more, "--max-cpu-loras") == "72"  # vLLM takes no fewer than there are places
    without = build_command(replace(target, adapters=()), ServeConfig(), device="cpu", environ={})
    assert flag_value(without.argv, "--worker-extension-cls") is None


@pytest.mark.parametrize(("systems", "shown"), [("甲乙", ["a: '甲'", "b: '乙'"]), ("甲甲", ["'甲'"]), ([None], [])])
def test_the_system_prompts_of_the_training_are_shown_and_sent(systems: Sequence[str | None], shown: list[str]):
    adapters = tuple(Adapter(name, Path("/a"), 8, system=system) for name, system in zip("abc", systems, strict=False))
    target = Target(Path("/m"), ("base",), adapters, system=systems[0])
    command = replace(fake_command(8000, "m"), target=target, names=target.all_names)
    lines = [line.split(" (")[0] for line in usage_text(command).plain.splitlines() if line.startswith("System")]
    assert lines == [f"System     {line}" for line in shown]
    assert ('{"role": "system", "content": "甲"}' in curl_line(command)) == bool(shown)


def test_weights_rounded_while_loading_are_known_by_the_command_line(demo_model: Path) -> None:
    target = folder_target(demo_model)
    assert not build_command(target, ServeConfig()).rounds
    assert build_command(target, ServeConfig(), ["--quantization", "fp8_per_channel"]).rounds
    assert not build_command(target, ServeConfig(), ["--quantization", "compressed-tensors"]).rounds

"""What preflight finds before anything is started, with the flag to set."""

from __future__ import annotations

import json
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.machine.gpus import Card, Device
from configs.recipe.schema import ServeConfig
from serve.launch import preflight as module
from serve.launch.command import build_command
from serve.launch.preflight import preflight, require
from serve.launch.target import folder_target
from tests.serve.fakes import free_port

GIB = 1 << 30


def card(total_gb: float = 85, free_gb: float | None = None, index: int = 0, **settings: object) -> Card:
    device = Device("H100", total_gb, capability=(9, 0))
    return Card(index, "H100", device, int(1e9 * (total_gb if free_gb is None else free_gb)), **settings)


@pytest.fixture
def model(demo_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_model, tmp_path / "model"))


def look(model: Path, config: ServeConfig | None = None, device: str = "cpu", extra: tuple[str, ...] = ()):
    config = config or ServeConfig(port=free_port())
    command = build_command(folder_target(model), config, extra, device=device, available_ram=8 * GIB, environ={})
    return preflight(command, config)


def refused(model: Path, **settings) -> ConfigError:
    with pytest.raises(ConfigError) as failure:
        require(look(model, **settings))
    return failure.value


def test_a_good_model_passes_in_seconds(model: Path):
    began = time.monotonic()
    findings = look(model)
    require(findings)
    assert {f.name for f in findings} >= {"files", "tokenizer", "generation", "template", "port", "memory"}
    assert time.monotonic() - began < 30


def test_a_busy_port_names_its_owner_and_a_free_one(model: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = refused(model, config=ServeConfig(port=port))
    assert error.exit_code == 2
    assert f"port {port} is taken by" in error.message
    assert "pid" in error.message
    assert "serve.port=" in error.next_step


def test_weights_cut_short_are_found(model: Path):
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    assert "cut short" in refused(model).message


def test_weights_that_are_not_safetensors_are_found(model: Path):
    (model / "model.safetensors").write_bytes(b"<html>404</html>")
    assert "not a readable safetensors file" in refused(model).message


def test_a_broken_tokenizer_is_found(model: Path):
    (model / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Unknown"}}')
    assert "does not load" in refused(model).message


def test_an_end_token_outside_the_vocabulary_is_found(model: Path):
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [151645]}))
    assert "outside the tokenizer" in refused(model).message


def test_damaged_generation_settings_are_named(model: Path):
    (model / "generation_config.json").write_text("{")
    assert "generation_config.json: not readable as JSON" in refused(model).message


def test_the_end_tokens_are_the_tokenizers(model: Path):
    (model / "generation_config.json").write_text('{"eos_token_id": [0]}')
    assert "eos_token_id 0 is the ordinary token '!'" in refused(model).message
    (model / "generation_config.json").write_text('{"eos_token_id": 3558}')
    warned = [f.message for f in look(model) if f.level == "warning"]
    assert warned == ["eos_token_id [3558] lacks 3560, the tokenizer's end token <|im_end|>"]


def test_a_limit_on_every_answer_is_a_warning(model: Path):
    settings = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**settings, "max_new_tokens": 20}))
    assert any(f.level == "warning" and "cuts every answer at 20" in f.message for f in look(model))


def test_too_little_ram(model: Path, monkeypatch: pytest.MonkeyPatch):
    class Little:
        available = total = GIB

    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: Little)
    assert "VLLM_CPU_KVCACHE_SPACE" in refused(model).next_step


def test_the_cache_that_the_user_exported_counts(model: Path, monkeypatch: pytest.MonkeyPatch):
    def refusal(space: str) -> str:
        monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", space)
        config = ServeConfig(port=free_port(), max_model_len=10**6, precision="bf16")
        with pytest.raises(ConfigError) as failure:
            require(preflight(build_command(folder_target(model), config, extra, device="cpu"), config))
        return str(failure.value)

    extra: list[str] = []
    monkeypatch.setenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1")
    assert "100000 of them KV cache" in refusal("100000")
    assert "VLLM_CPU_KVCACHE_SPACE is 'two'" in refusal("two")
    assert "takes 1.2 GiB of KV cache" in refusal("1")
    assert "export VLLM_CPU_KVCACHE_SPACE=2" in refusal("1")
    extra = ["--dtype", "float32"]
    assert "takes 2.4 GiB of KV cache" in refusal("1")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_context_beyond_what_the_model_was_made_for(device: str, model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "visible_cards", lambda environ=None: [card()])
    long = ("--max-model-len", "1025")
    for given in ({"config": ServeConfig(port=free_port(), max_model_len=1025)}, {"extra": long}):
        error = refused(model, device=device, **given)
        assert "the model was made for 1,024" in error.message
        assert "set serve.max_model_len=1024" in error.next_step
    for extra in (("--max-model-len", "1K"), (*long, "--hf-overrides", "{}")):
        require(look(model, device=device, extra=extra))


def gpu_findings(model: Path, gpus: list[Card], monkeypatch: pytest.MonkeyPatch, **settings):
    monkeypatch.setattr(module, "visible_cards", lambda environ=None: gpus)
    return refused(model, config=ServeConfig(port=free_port(), **settings), device="cuda")


def test_a_gpu_that_is_in_use_names_who_has_it_and_what_fits(model: Path, monkeypatch: pytest.MonkeyPatch):
    gpu = card(80, 20, holders=((4242, 60 * 10**9),))
    error = gpu_findings(model, [gpu], monkeypatch)
    assert "pid 4242" in error.message
    assert "serve.gpu_memory_utilization=0.25" in error.next_step


def test_too_few_gpus(model: Path, monkeypatch: pytest.MonkeyPatch):
    gpu = card()
    assert "2 GPUs are asked for" in gpu_findings(model, [gpu], monkeypatch, tensor_parallel_size=2).message


def test_a_context_that_does_not_fit_says_what_does(model: Path, monkeypatch: pytest.MonkeyPatch):
    gpu = card(2)
    error = gpu_findings(model, [gpu], monkeypatch, max_model_len=10_000_000)
    assert "serve.max_model_len=" in error.next_step


def test_weights_that_do_not_fit(model: Path, monkeypatch: pytest.MonkeyPatch):
    error = gpu_findings(model, [card(1)], monkeypatch)
    assert "serve.precision=fp8" in error.next_step


def test_what_stands_after_the_dashes_counts_for_memory(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "visible_cards", lambda environ=None: [card(8.5)])
    settings = json.loads((model / "config.json").read_text())
    big = {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "vocab_size": 151936}
    (model / "config.json").write_text(json.dumps(settings | big | {"head_dim": 128, "num_attention_heads": 32}))

    def memory(*extra: str):
        return next(f for f in look(model, device="cuda", extra=extra) if f.name == "memory")

    assert memory().level == "error"
    assert memory("--quantization", "fp8").level == "ok"
    for flag, value in (("--cpu-offload-gb", "10"), ("--quantization", "mxfp4"), ("--kv-cache-dtype", "fp8")):
        found = memory(flag, value)
        assert (found.level, flag in found.message) == ("warning", True)
    monkeypatch.setattr(module, "weight_bytes", lambda folder: 8 * GIB)
    (model / "config.json").write_text(json.dumps({**settings, "quantization_config": {}}))
    assert memory("--quantization", "fp8").level == "error"  # the files are as small as it gets


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("-tp", "two", "--tensor-parallel-size is 'two', no whole number from 1"),
        ("-tp", "0", "is '0'"),
        ("--gpu-memory-utilization", "abc", "--gpu-memory-utilization is 'abc', no number"),
    ],
)
def test_a_flag_that_is_no_number_is_named(
    flag: str, value: str, message: str, model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "visible_cards", lambda environ=None: [card()])
    assert message in refused(model, device="cuda", extra=(flag, value)).message


def test_all_errors_are_reported_at_once(model: Path):
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": 10**6}))
    error = refused(model, config=ServeConfig(port=free_port(), max_model_len=1025))
    assert "a context of 1,025 tokens is asked for" in error.message
    assert "outside the tokenizer's" in error.message


def test_a_template_given_by_the_user_is_not_judged(model: Path):
    config = ServeConfig(port=free_port())
    command = build_command(folder_target(model), config, ["--chat-template", "x.jinja"], device="cpu", environ={})
    findings = preflight(replace(command), config)
    assert any(f.name == "template" and "--chat-template" in f.message for f in findings)


@pytest.mark.parametrize(
    ("flags", "here"),
    [
        (["--tensor-parallel-size", "4"], 4),
        (["-tp", "2", "-dp=2"], 4),
        (["--tensor-parallel-size", "8", "--pipeline-parallel-size", "2", "--nnodes", "2", "--node-rank", "0"], 8),
        (["--data-parallel-size", "4", "--data-parallel-size-local", "2"], 2),
        (["--tensor-parallel-size", "16", "--distributed-executor-backend", "ray"], None),
    ],
)
def test_only_the_gpus_of_this_machine_are_asked_for(
    flags: list[str], here: int | None, model: Path, monkeypatch: pytest.MonkeyPatch
):
    gpus = [card(index=i) for i in range(here or 1)]
    monkeypatch.setattr(module, "visible_cards", lambda environ=None: gpus)
    require(look(model, device="cuda", extra=tuple(flags)))
    if here:
        monkeypatch.setattr(module, "visible_cards", lambda environ=None: gpus[1:])
        error = refused(model, device="cuda", extra=tuple(flags))
        assert f"{here} GPUs are asked for, {here - 1} can be seen" in error.message


def test_four_bits_on_a_processor_without_avx512_are_refused(
    demo_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "int4"
    folder.mkdir()
    for file in demo_model.iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((demo_model / "config.json").read_text())
    (folder / "config.json").unlink()
    groups = {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}, "format": "pack-quantized"}
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": groups}))
    for present, refused in ((False, True), (True, False)):
        monkeypatch.setattr(module, "has_avx512", lambda present=present: present)
        command = build_command(folder_target(folder), ServeConfig(port=free_port()), device="cpu")
        found = [f for f in preflight(command, ServeConfig()) if f.name == "processor"]
        assert bool(found) == refused
        assert all("AVX-512" in f.message and "int8" in f.next_step for f in found)

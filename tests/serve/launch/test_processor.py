"""What vLLM's CPU build is told by size of the model, precision and processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.recipe.schema import ServeConfig
from serve.launch import processor
from serve.launch.command import build_command, flag_value
from serve.launch.target import folder_target


def dtype(model: Path, device: Any = "cpu", extra: tuple[str, ...] = (), **config: Any) -> str | None:
    target = folder_target(model, dummy="--load-format=dummy" in extra)
    command = build_command(target, ServeConfig.model_validate(config), extra, device=device, environ={})
    return flag_value(command.argv, "--dtype")


def test_a_small_model_is_served_in_32_bits_where_16_take_twice_as_long(
    demo_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "has_avx512", lambda: True)
    assert dtype(demo_model) is None
    monkeypatch.setattr(processor, "has_avx512", lambda: False)
    assert dtype(demo_model) == "float32"
    assert dtype(demo_model, "cuda") is None
    # What was asked for is served, and what was rounded stays so.
    assert dtype(demo_model, precision="bf16") == "bfloat16"
    assert dtype(demo_model, precision="fp8") is None
    assert dtype(demo_model, extra=("--dtype=half",)) == "half"
    assert dtype(demo_model, extra=("-q", "fp8")) is None
    # vLLM computes linear attention in bf16 only.
    config = json.loads((demo_model / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    for file in demo_model.iterdir():
        if file.name != "config.json":
            (other / file.name).symlink_to(file)
    for change in ({"quantization_config": {"format": "int-quantized"}}, {"layer_types": ["linear_attention"] * 5}):
        (other / "config.json").write_text(json.dumps(config | change))
        assert dtype(other) is None
    (other / "config.json").write_text(json.dumps(config))
    assert dtype(other) == "float32"
    # The size of one whose weights are made up is not known, and a large one would take twice the memory.
    (other / "model.safetensors").unlink()
    assert dtype(other, extra=("--load-format=dummy",)) is None
    monkeypatch.setattr(processor, "SMALL_MODEL_BYTES", 1000)
    assert dtype(demo_model) is None


def test_the_cache_is_sized_by_the_numbers_in_it(demo_model: Path) -> None:
    def gib(**config: Any) -> str:
        serve = ServeConfig.model_validate({"max_model_len": 10**5, **config})
        command = build_command(folder_target(demo_model), serve, device="cpu", available_ram=64 << 30, environ={})
        return command.env["VLLM_CPU_KVCACHE_SPACE"]

    assert gib(precision="bf16") == "2"
    assert gib(args=["--dtype", "float32"]) == "4"


def test_nothing_is_compiled_unless_the_user_says_so(demo_model: Path) -> None:
    def compiles(device: Any, *extra: str, **environ: str) -> str | None:
        command = build_command(folder_target(demo_model), ServeConfig(), extra, device=device, environ=environ)
        return command.env.get("TORCH_COMPILE_DISABLE")

    assert compiles("cpu") == "1"
    assert compiles("cpu", "--no-enforce-eager") is None
    assert compiles("cpu", TORCH_COMPILE_DISABLE="0") is None
    assert compiles("cuda") is None

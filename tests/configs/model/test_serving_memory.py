"""`check` and `serve` give one answer to whether a model can be served, and with how much context."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.machine.gpus import GPUS, Card, Device
from configs.model.serving_memory import Split, fit, kv_bytes_a_token, weights_gb
from configs.model.shape import DecoderShape, ModelShape
from configs.recipe.schema import ServeConfig
from serve.launch import preflight as module
from serve.launch.command import build_command
from serve.launch.preflight import Finding, preflight
from serve.launch.target import Target
from trainer.plan.serving import servable

QWEN3 = {
    "0.6b": (1024, 3072, 28, 16, 8, True),
    "4b": (2560, 9728, 36, 32, 8, True),
    "8b": (4096, 12288, 36, 32, 8, False),
    "14b": (5120, 17408, 40, 40, 8, False),
}
"""hidden, intermediate, layers, heads, KV heads, tied."""

Serving = Callable[..., Finding]


def config_of(size: str, **changes: Any) -> dict[str, Any]:
    hidden, intermediate, layers, heads, kv_heads, tied = QWEN3[size]
    return {
        "model_type": "qwen3", "hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": 128, "vocab_size": 151936,
        "tie_word_embeddings": tied, **changes,
    }  # fmt: skip


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """What preflight says of the memory, for made-up weights on as many cards as are asked for."""

    def look(config: dict[str, Any], device: Device, serve: ServeConfig, *extra: str) -> Finding:
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        cards = [Card(i, device.name, device, int(device.memory_gb * 1e9)) for i in range(8)]
        monkeypatch.setattr(module, "visible_cards", lambda environ=None: cards)
        flags = ["--load-format", "dummy", *extra]
        command = build_command(Target(tmp_path, ("m",)), serve, flags, device="cuda", environ={})
        return next(f for f in preflight(command, serve) if f.name == "memory")

    return look


@pytest.mark.parametrize("gpu", ["h100-80gb", "rtx4090", "t4"])
@pytest.mark.parametrize("size", QWEN3)
def test_check_and_preflight_say_the_same(size: str, gpu: str, serving: Serving) -> None:
    device, refused = GPUS[gpu], set()
    for tied in (True, False):
        config = config_of(size, tie_word_embeddings=tied)
        for precision in ("auto", "bf16", "fp16", "fp8"):
            for tensor, pipeline in ((1, 1), (2, 1), (8, 1), (1, 2)):
                for length in ("auto", 32768):
                    serve = ServeConfig(
                        precision=precision,
                        max_model_len=length,
                        tensor_parallel_size=tensor,
                        pipeline_parallel_size=pipeline,
                    )
                    name = precision if precision != "auto" else "bf16" if device.bf16 else "fp16"
                    checked = servable(ModelShape.of(config), serve, device, longest=500)[name]
                    found = serving(config, device, serve)
                    refused.add(found.level)
                    assert (found.level == "error") == bool(checked.why_not), (found, checked)
                    room = f"weights {checked.weights_gb:.1f} GB: room for about {checked.context:,} tokens"
                    assert (checked.why_not or room) in found.message
    assert "ok" in refused


def test_14b_in_fp8_keeps_embedding_and_output_layer_in_16_bits(serving: Serving) -> None:
    shape = ModelShape.of(config_of("14b"))
    ends = 2 * 151936 * 5120
    assert weights_gb(shape, "fp8") == pytest.approx((shape.linear_parameters + 2 * ends) / 1e9, rel=1e-3)
    assert round(weights_gb(shape, "fp8"), 1) == 16.3
    assert "weights 16.3 GB" in serving(config_of("14b"), GPUS["rtx4090"], ServeConfig(precision="fp8")).message


def test_a_head_is_never_divided_and_an_end_of_a_pipeline_has_one_embedding() -> None:
    shape = ModelShape.of(config_of("8b"))
    whole = kv_bytes_a_token(shape)
    assert whole == 2 * 2 * 36 * 8 * 128
    assert kv_bytes_a_token(shape, Split(8)) == kv_bytes_a_token(shape, Split(16)) == whole // 8
    assert kv_bytes_a_token(shape, Split(1, 4)) == whole // 4
    halves = weights_gb(shape, "bf16", Split(1, 2))
    assert halves == pytest.approx(weights_gb(shape, "bf16") / 2, rel=1e-3)
    tied = ModelShape.of(config_of("4b"))
    # Both ends of the pipeline hold the one embedding.
    more = weights_gb(tied, "bf16", Split(1, 2)) - weights_gb(tied, "bf16") / 2
    assert more == pytest.approx(151936 * 2560 / 1e9, rel=1e-3)


def test_the_user_s_flags_count(serving: Serving) -> None:
    config, serve = config_of("14b"), ServeConfig()
    assert serving(config, GPUS["rtx4090"], serve).level == "error"
    assert serving(config, GPUS["rtx4090"], serve, "-tp", "2").level == "ok"
    assert serving(config, GPUS["rtx4090"], serve, "--quantization=fp8").level == "ok"
    assert "no bf16" in serving(config_of("0.6b"), GPUS["t4"], serve, "--dtype", "bfloat16").message
    assert "weights 2.4 GB" in serving(config_of("0.6b"), GPUS["t4"], serve, "--dtype", "float32").message
    short = serving(config_of("8b"), GPUS["rtx4090"], serve, "--max-model-len", "40960")
    assert short.level == "error"
    assert "room for a context of" in short.message
    fits = short.next_step.partition("max_model_len=")[2].split()[0]
    assert serving(config_of("8b"), GPUS["rtx4090"], serve, "--max-model-len", fits).level == "ok"


def test_a_mixture_of_experts_is_counted_from_its_files() -> None:
    config = config_of("8b", model_type="qwen3_moe", num_experts=128)
    shape = DecoderShape.of(config)
    stored = 61_000_000_000
    assert weights_gb(shape, "bf16", stored_bytes=stored) == pytest.approx(61.0)
    ends = 2 * 151936 * 4096
    assert weights_gb(shape, "fp8", stored_bytes=stored) == pytest.approx((stored / 2 - ends + 2 * ends) / 1e9)
    found = fit(shape, GPUS["h100-80gb"], 0.9, 61.0, "bf16", Split(), 1024)
    assert (found.why_not, found.context > 50_000) == ("", True)


def test_a_model_of_unknown_size_is_not_looked_at(serving: Serving) -> None:
    found = serving({"model_type": "mamba"}, GPUS["t4"], ServeConfig())
    assert (found.level, "does not tell how large" in found.message) == ("ok", True)

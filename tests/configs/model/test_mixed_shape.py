"""Counts of weights by config.json, held against the models that transformers builds."""

from __future__ import annotations

from typing import Any

import pytest

from configs.model.known_shapes import known_config
from configs.model.mixed_shape import MixedShape, shape_of
from configs.model.serving_memory import kv_bytes_a_token
from configs.model.shape import ModelShape, UnknownShape

HYBRID = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 8, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 512, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 24,
}  # fmt: skip
VISION = {
    "depth": 2, "hidden_size": 32, "intermediate_size": 80, "num_heads": 2, "patch_size": 4, "out_hidden_size": 64,
    "num_position_embeddings": 49,
}  # fmt: skip
MIXTURE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 512, "num_experts": 6, "moe_intermediate_size": 24,
}  # fmt: skip


def built(kind: str, **config: Any) -> tuple[Any, MixedShape]:
    """A model of transformers without storage, and its shape by the config.json that would be written."""
    import torch
    import transformers

    made = transformers.AutoConfig.for_model(kind, **config)
    auto = transformers.AutoModelForImageTextToText if kind == "qwen3_5" else transformers.AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(made)
    model.tie_weights()
    shape = shape_of(made.to_dict())
    assert isinstance(shape, MixedShape)
    return model, shape


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("qwen3_5", {"text_config": HYBRID, "vision_config": VISION}),
        ("qwen3_5_text", {**HYBRID, "tie_word_embeddings": True}),
        ("qwen3_5_text", {}),
        ("qwen3_moe", MIXTURE),
    ],
)
def test_all_parameters_are_counted(kind: str, config: dict[str, Any]) -> None:
    import torch

    model, shape = built(kind, **config)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    linear = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "visual" not in name and not name.endswith("lm_head")
    ]
    adapters = sum(m.in_features + m.out_features for m in linear)
    assert shape.adapter_parameters(3, [*shape.linears, "lm_head"]) == 3 * adapters


def test_only_attention_keeps_keys_and_values() -> None:
    _, shape = built("qwen3_5_text", **HYBRID)
    assert (shape.layers, shape.kv_layers) == (8, 2)
    assert kv_bytes_a_token(shape) == 2 * 2 * 2 * 32 * 2
    # Six layers of a convolution over 160 channels, three tokens back, and four states of 16 x 24.
    assert shape.state_bytes == 6 * (2 * 160 * 3 + 4 * 4 * 24 * 16)


def test_what_has_another_layout_stays_unknown() -> None:
    for config in ({**MIXTURE, "model_type": "qwen3_moe", "mlp_only_layers": [0]}, {**MIXTURE, "model_type": "olmoe"}):
        with pytest.raises(UnknownShape, match="mixture of experts"):
            shape_of(config)
    assert isinstance(shape_of({**HYBRID, "model_type": "qwen3"}), ModelShape | MixedShape)


@pytest.mark.parametrize(
    "keys",
    [{"linear_num_key_heads": "x"}, {"vision_config": {"hidden_size": []}}, {"layer_types": 5}, {"vision_config": 3}],
)
def test_sizes_that_are_no_numbers_are_an_unknown_shape(keys: dict[str, Any]) -> None:
    with pytest.raises(UnknownShape):
        shape_of({**HYBRID, "model_type": "qwen3_5_text", "full_attention_interval": 4, **keys})


@pytest.mark.parametrize(
    ("name", "billions"), [("Qwen/Qwen3-30B-A3B", 30.53), ("Qwen/Qwen3.5-9B", 9.41), ("unsloth/Qwen3.5-9B-Base", 9.41)]
)
def test_shipped_shapes_come_to_the_models_size(name: str, billions: float) -> None:
    known = known_config(name)
    assert known
    assert shape_of(known).parameters / 1e9 == pytest.approx(billions, abs=0.01)

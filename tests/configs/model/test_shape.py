"""A model's sizes from its config.json: the one reader of trainer and server."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from configs.errors import ConfigError
from configs.model.shape import DecoderShape, ModelShape, UnknownShape, is_mixture

SMALL: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 512,
}  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_the_parameters_are_those_of_the_model(kind: str, tied: bool) -> None:
    config = AutoConfig.for_model(kind, **SMALL, head_dim=32, tie_word_embeddings=tied)
    model = AutoModelForCausalLM.from_config(config)
    shape = ModelShape.of(config.to_dict())
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert shape.norm_parameters == sum(p.numel() for name, p in model.named_parameters() if "norm" in name)
    for name in ("q_proj", "k_proj", "o_proj", "down_proj"):
        module = next(m for path, m in model.named_modules() if path.endswith(name))
        assert (module.in_features, module.out_features) == shape.widths(name)


def test_sizes_that_are_left_out_follow_from_the_others() -> None:
    shape = DecoderShape.of({k: v for k, v in SMALL.items() if k != "num_key_value_heads"} | {"head_dim": None})
    assert (shape.kv_heads, shape.head_dim, shape.keys, shape.tied) == (4, 16, 64, False)


def test_a_language_model_beside_another_has_its_sizes_in_a_part_of_its_own() -> None:
    assert ModelShape.of({"vision_config": {}, "text_config": SMALL}) == ModelShape.of(SMALL)


def test_a_mixture_of_experts_is_a_decoder_that_is_not_predicted() -> None:
    for key in ("num_experts", "num_local_experts", "n_routed_experts"):
        config = {**SMALL, "model_type": "qwen3_moe", key: 128}
        assert is_mixture(config)
        with pytest.raises(UnknownShape, match="mixture of experts"):
            ModelShape.of(config)
        assert DecoderShape.of(config).keys == 32


def test_what_is_missing_is_named() -> None:
    for absent in ({}, {"hidden_size": None}):
        config = {k: v for k, v in SMALL.items() if k != "hidden_size"} | absent
        with pytest.raises(ConfigError, match=r"config\.json has no 'hidden_size'"):
            DecoderShape.of(config)

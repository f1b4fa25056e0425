"""Made-up models: the names and shapes of the published ones, the end tokens of the tokenizer, and they load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from configs.model.files import read_model_config, safetensors_shapes, weight_bytes
from configs.model.known_shapes import known_config
from configs.model.mixed_shape import shape_of
from scripts.bench.shapes import PUBLISHED, TINY, write_shape
from tests.trainer.conftest import DEMO_MODEL

_OF_OTHER_SIZE = ("o_proj.weight", "down_proj.weight", "out_proj.weight", "embed_tokens.weight")


@pytest.mark.parametrize("size", TINY)
def test_a_tiny_one_has_every_weight_that_transformers_looks_for(size: str, tmp_path: Path) -> None:
    write_shape(tmp_path, DEMO_MODEL, size)
    sees = "vision_config" in TINY[size]
    kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
    model, about = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(about[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert weight_bytes(tmp_path) == pytest.approx(2 * shape_of(read_model_config(tmp_path)).parameters, rel=0.03)
    with torch.no_grad():
        logits = model(input_ids=torch.arange(8)[None]).logits
    assert torch.isfinite(logits).all()
    assert logits.std() > 0


@pytest.mark.parametrize("size", ["14b", "qwen3.5-9b", "30b-a3b"])
def test_a_published_one_counts_as_many_parameters_as_its_model(size: str, tmp_path: Path) -> None:
    write_shape(tmp_path, DEMO_MODEL, size, weights=False)
    published = known_config(PUBLISHED[size])
    assert published
    assert shape_of(read_model_config(tmp_path)).parameters == shape_of(published).parameters
    assert not list(tmp_path.glob("*.safetensors"))


def test_answers_end_where_the_tokenizer_says(tmp_path: Path) -> None:
    write_shape(tmp_path, DEMO_MODEL, "30b-a3b", layers=2, weights=False)
    config = json.loads((tmp_path / "config.json").read_text())
    known = json.loads((DEMO_MODEL / "config.json").read_text())
    assert config["eos_token_id"] == known["eos_token_id"]
    assert config["num_hidden_layers"] == 2
    assert config["architectures"] == ["Qwen3MoeForCausalLM"]


def test_experts_have_the_names_of_published_files(tmp_path: Path) -> None:
    write_shape(tmp_path, DEMO_MODEL, "tiny-mixture")
    names = safetensors_shapes(tmp_path / "model.safetensors")
    assert names["model.layers.3.mlp.experts.7.gate_proj.weight"] == [32, 64]
    assert "lm_head.weight" not in names


def test_matrices_are_drawn_and_vectors_begin_as_the_architecture_says(tmp_path: Path) -> None:
    write_shape(tmp_path, DEMO_MODEL, "tiny-hybrid")
    stored = {name: tensor.float() for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    text = {name.removeprefix("model.language_model."): t for name, t in stored.items() if "language_model" in name}
    # These norms multiply with 1 + weight; the one inside linear attention does not.
    assert not text["layers.0.input_layernorm.weight"].any()
    assert not text["layers.3.self_attn.q_norm.weight"].any()
    assert (text["layers.0.linear_attn.norm.weight"] == 1).all()
    assert (text["layers.0.linear_attn.dt_bias"] == 1).all()
    assert text["layers.0.linear_attn.A_log"].exp().max() <= 16.5
    assert not any(tensor.any() for name, tensor in stored.items() if name.endswith("bias") and "dt_bias" not in name)
    assert text["embed_tokens.weight"].std() == pytest.approx(1, rel=0.1)
    drawn = [tensor for name, tensor in text.items() if tensor.dim() == 2 and not name.endswith(_OF_OTHER_SIZE)]
    assert all(tensor.std() == pytest.approx(0.02, rel=0.2) for tensor in drawn)
    assert len({float(tensor.flatten()[0]) for tensor in drawn}) > len(drawn) / 2


def test_no_token_predicts_itself_where_the_output_layer_is_the_embedding(tmp_path: Path) -> None:
    write_shape(tmp_path, DEMO_MODEL, "tiny-mixture")
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.arange(100, 200)[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0]
    own = logits.gather(1, ids.T).flatten()
    assert own.mean().abs() < logits.std() < 1


@pytest.mark.parametrize("size", ["deep", "deep-mixture"])
def test_layers_together_add_about_as_much_as_the_embedding_brings(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With matrices that enlarge as those of 14B do: 0.02 for 5,120 inputs is 0.126 for 128."""
    kind = {"deep": "tiny", "deep-mixture": "tiny-mixture"}[size]
    deep = {"hidden_size": 128, "intermediate_size": 448, "num_hidden_layers": 40, "moe_intermediate_size": 96}
    monkeypatch.setitem(TINY, size, TINY[kind] | deep)
    monkeypatch.setattr("scripts.bench.shapes._SIZE", 0.126)
    write_shape(tmp_path, DEMO_MODEL, size)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).model
    seen: list[torch.Tensor] = []
    model.norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(input_ids=torch.arange(100, 140)[None])
        brought = model.embed_tokens(torch.arange(100, 140)[None])
    assert 0.1 < (seen[0] - brought).norm() / brought.norm() < 2

"""Made-up models: the names and shapes of the published ones, the end tokens of the tokenizer, and they load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from configs.known_shapes import known_config
from configs.mixed_shape import shape_of
from configs.model_files import read_model_config, safetensors_shapes, weight_bytes
from scripts.bench.shapes import PUBLISHED, TINY, write_shape
from tests.trainer.conftest import DEMO_MODEL


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


def test_norms_are_ones_and_the_rest_is_drawn(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    write_shape(tmp_path, DEMO_MODEL, "tiny")
    stored = load_file(tmp_path / "model.safetensors")
    norms = [tensor for name, tensor in stored.items() if "norm" in name]
    rest = [tensor.float() for name, tensor in stored.items() if "norm" not in name]
    assert all((tensor == 1).all() for tensor in norms)
    assert all(tensor.std() == pytest.approx(0.02, rel=0.1) for tensor in rest)
    assert len({float(tensor.flatten()[0]) for tensor in rest}) > len(rest) / 2

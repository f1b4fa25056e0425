"""8-bit weights, read back by transformers' compressed-tensors loader, are the model's to the rounding of 8 bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

from configs.errors import ConfigError
from configs.model.files import weight_files
from tests.trainer.tiny_models import IDS, make_model
from trainer.export.changes import index_weights
from trainer.export.int8_fp8 import Kind, export_8bit
from trainer.export.new_folder import Export
from trainer.export.tensors import TensorReader

# Largest rounding error as a share of the row's largest weight: half a step of 1/127, and of e4m3's 3 bits of mantissa.
BOUNDS: dict[Kind, float] = {"int8": 0.5 / 127 + 1e-4, "fp8": 2**-4 / 1.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("8bit") / "model", "qwen3", torch.bfloat16, False, 64)


def export(model: Path, out: Path, kind: Kind) -> Path:
    return export_8bit(TensorReader(index_weights(weight_files(model))), Export(model, out, shard_gb=1e-4), kind)


@pytest.mark.parametrize("kind", ["fp8", "int8"])
def test_weights_read_back_are_the_models(model: Path, tmp_path: Path, kind: Kind) -> None:
    out = export(model, tmp_path / "out", kind)
    read = AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, quantization_config=CompressedTensorsConfig(dequantize=True)
    )
    original = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    wanted = dict(original.named_parameters())
    changed = 0
    for name, parameter in read.named_parameters():
        if name.endswith("_scale"):
            continue
        difference = (parameter - wanted[name]).abs()
        if parameter.ndim < 2 or "embed" in name or "lm_head" in name:
            assert difference.max() == 0, name
            continue
        assert (difference.amax(dim=1) <= BOUNDS[kind] * wanted[name].abs().amax(dim=1)).all(), name
        changed += bool(difference.max() > 0)
    assert changed == 14, "all seven linear layers of both blocks are rounded"
    with torch.no_grad():
        before, after = original(input_ids=IDS).logits, read(input_ids=IDS).logits
    assert ((after - before).norm() / before.norm()).item() < 0.2


@pytest.mark.parametrize(("kind", "dtype"), [("fp8", torch.float8_e4m3fn), ("int8", torch.int8)])
def test_files_are_as_vllm_loads_them(model: Path, tmp_path: Path, kind: Kind, dtype: torch.dtype) -> None:
    out = export(model, tmp_path / "out", kind)
    tensors = {name: t for file in out.glob("*.safetensors") for name, t in load_file(file).items()}
    weight = tensors["model.layers.0.mlp.up_proj.weight"]
    scale = tensors["model.layers.0.mlp.up_proj.weight_scale"]
    assert (weight.dtype, scale.shape, scale.dtype) == (dtype, (weight.shape[0], 1), torch.float32)
    assert tensors["lm_head.weight"].dtype == torch.bfloat16
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    assert config["quant_method"] == "compressed-tensors"
    assert config["ignore"] == ["lm_head"]
    assert config["config_groups"]["group_0"]["input_activations"]["dynamic"] is True
    assert (out / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()


def test_unknown_architecture_is_refused(tmp_path: Path, model: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "gemma3"}')
    with pytest.raises(ConfigError, match="'gemma3'"):
        export_8bit(TensorReader({}), Export(other, tmp_path / "out"), "fp8")

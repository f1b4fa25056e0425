"""4-bit weights, read back by transformers' compressed-tensors loader, are the model's to the rounding of 4 bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from compressed_tensors.quantization import preset_name_to_scheme
from compressed_tensors.quantization.utils import calculate_qparams
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

from configs.errors import ConfigError
from configs.model.files import weight_files
from tests.trainer.tiny_models import IDS, make_model
from trainer.export.adapter import merge_any
from trainer.export.changes import index_weights
from trainer.export.int4 import FourBitTensors, best_scale, export_4bit, group_size_for
from trainer.export.new_folder import Export
from trainer.export.tensors import TensorReader


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("4bit") / "model"
    return make_model(folder, "qwen3", torch.bfloat16, False, 128, intermediate_size=256, head_dim=32)


def reader(model: Path) -> TensorReader:
    return TensorReader(index_weights(weight_files(model)))


def test_weights_read_back_are_the_models(model: Path, tmp_path: Path) -> None:
    out = export_4bit(reader(model), Export(model, tmp_path / "out", shard_gb=1e-4))
    read = AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, quantization_config=CompressedTensorsConfig(dequantize=True)
    )
    original = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    wanted = dict(original.named_parameters())
    changed = 0
    for name, parameter in read.named_parameters():
        if name.endswith(("_scale", "_shape")):
            continue
        difference = parameter - wanted[name]
        if parameter.ndim < 2 or "embed" in name or "lm_head" in name:
            assert difference.abs().max() == 0, name
            continue
        # A group of 128 normal weights in 15 steps: about a tenth of their size is lost.
        assert difference.norm() / wanted[name].norm() < 0.12, name
        changed += 1
    assert changed == 14, "all seven linear layers of both blocks are rounded"
    with torch.no_grad():
        before, after = original(input_ids=IDS).logits, read(input_ids=IDS).logits
    assert ((after - before).norm() / before.norm()).item() < 0.5


def test_files_are_as_vllm_loads_them(model: Path, tmp_path: Path) -> None:
    out = export_4bit(reader(model), Export(model, tmp_path / "out", shard_gb=1e-4))
    tensors = {name: t for file in out.glob("*.safetensors") for name, t in load_file(file).items()}
    name = "model.layers.0.mlp.down_proj.weight"
    packed, scale = tensors[name + "_packed"], tensors[name + "_scale"]
    assert (packed.dtype, tuple(packed.shape)) == (torch.int32, (128, 256 // 8))
    assert (scale.dtype, tuple(scale.shape)) == (torch.bfloat16, (128, 2))
    assert tensors[name + "_shape"].tolist() == [128, 256]
    assert name not in tensors
    assert tensors["lm_head.weight"].dtype == torch.bfloat16
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    assert (config["quant_method"], config["format"]) == ("compressed-tensors", "pack-quantized")
    weights = config["config_groups"]["group_0"]["weights"]
    assert (weights["num_bits"], weights["group_size"], weights["symmetric"]) == (4, 128, True)
    assert (out / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()


def test_the_chosen_scale_loses_less_than_the_plain_one() -> None:
    torch.manual_seed(1)
    weight = torch.randn(64, 512)
    args = preset_name_to_scheme("W4A16", ["Linear"]).weights
    assert args is not None
    low, high = torch.aminmax(weight.unflatten(1, (-1, 128)), dim=-1)
    plain, _ = calculate_qparams(low, high, args)

    def error(scale: torch.Tensor) -> float:
        steps = scale.repeat_interleave(128, dim=1)
        return (((weight / steps).round().clamp(-8, 7) * steps - weight).norm() / weight.norm()).item()

    assert error(best_scale(weight, args)) < 0.95 * error(plain)


def test_groups_fit_every_layer(tmp_path: Path) -> None:
    narrow = make_model(tmp_path / "narrow", "qwen3", torch.bfloat16, False, 64)
    assert group_size_for(reader(narrow)) == 64
    odd = make_model(tmp_path / "odd", "qwen3", torch.bfloat16, False, 64, intermediate_size=48)
    with pytest.raises(ConfigError, match="48"):
        export_4bit(reader(odd), Export(odd, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_linear_layers_shrink_to_about_a_quarter(model: Path) -> None:
    plain = reader(model)
    linear = [spec for spec in plain.specs() if "_proj" in spec.name]
    compressed = [spec for spec in FourBitTensors(plain, 128).specs() if "_proj" in spec.name]
    assert sum(spec.nbytes for spec in compressed) < sum(spec.nbytes for spec in linear) * 0.27


def test_an_adapter_is_merged_before_it_is_rounded(model: Path, tmp_path: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = get_peft_model(plain, LoraConfig(r=4, target_modules=["up_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    merge_any(tmp_path / "adapter", tmp_path / "int4", "int4")
    read = AutoModelForCausalLM.from_pretrained(
        tmp_path / "int4", dtype=torch.float32, quantization_config=CompressedTensorsConfig(dequantize=True)
    )
    name = "model.layers.1.mlp.up_proj.weight"
    merged = dict(tuned.merge_and_unload().named_parameters())[name]
    served = dict(read.named_parameters())[name]
    before = dict(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).named_parameters())[name]
    assert (served - merged).norm() < 0.12 * merged.norm() < 0.5 * (merged - before).norm()

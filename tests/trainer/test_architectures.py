"""A model that could not go the whole way is refused by name, before its weights are fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError
from configs.machine.gpus import GPUS
from configs.model import libraries
from configs.recipe.schema import LINEAR_LAYERS, LoraConfig, TrainConfig
from configs.run import predecessor
from tests.trainer.conftest import DEMO_MODEL, make_run, run_stage
from trainer.architectures import PROVED, Model, check_architecture, paths_of, with_layers
from trainer.data import prepare
from trainer.plan.layout import make_plan


def folder(tmp_path: Path, **config: Any) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("config", "name", "why"),
    [
        (
            {"architectures": ["BaichuanForCausalLM"], "auto_map": {"AutoModelForCausalLM": "x.y"}},
            "BaichuanForCausalLM",
            "vLLM {vllm} does not serve it any more (0.23.0 was the last that did)",
        ),
        ({"architectures": ["Qwen9ForCausalLM"], "model_type": "qwen9"}, "Qwen9", "{theirs} has no model type 'qwen9'"),
        ({"architectures": ["Qwen9ForCausalLM"]}, "Qwen9", "no model_type, and {theirs} no decoder of that name"),
        ({}, "a model without", "no model_type, and {theirs} no decoder of that name"),
        (
            {"architectures": ["ChatGLMModel"], "model_type": "chatglm", "auto_map": {"AutoModelForCausalLM": "x.y"}},
            "ChatGLMModel",
            "{theirs} does not implement it, and the code that the model brings is never run",
        ),
        (
            {"architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "vision_config": {}},
            "Qwen3VL",
            "{theirs} has no class for the text part of Qwen3VLForConditionalGeneration alone",
        ),
        (
            {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"},
            "Gemma3",
            "{theirs} has no class for the text part of Gemma3ForConditionalGeneration alone",
        ),
        (
            {"architectures": ["BertForMaskedLM"], "model_type": "bert"},
            "BertForMaskedLM",
            "{theirs} makes BertLMHeadModel of model type 'bert', and the trainer takes decoders",
        ),
        ({"model_type": "t5"}, "t5", "{theirs} has no decoder for model type 't5'"),
        ({"model_type": "gpt2"}, "GPT2LMHeadModel", "PEFT {peft} finds no linear layer in GPT2LMHeadModel"),
        ({"model_type": "rwkv"}, "RwkvForCausalLM", "vLLM {vllm} has no RwkvForCausalLM"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_the_library_that_cannot(
    tmp_path: Path, config: dict[str, Any], name: str, why: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_architecture(folder(tmp_path, **config))
    theirs = f"transformers {libraries.transformers().version}"
    assert f"{name}" in caught.value.message
    assert (
        why.format(theirs=theirs, vllm=libraries.vllm().version, peft=libraries.peft_version()) in caught.value.message
    )
    assert "Qwen/Qwen3-14B" in caught.value.next_step


def test_quantized_base_is_refused_before_training(tmp_path: Path) -> None:
    quantized = {"architectures": ["Qwen3ForCausalLM"], "quantization_config": {"quant_method": "gptq"}}
    with pytest.raises(ConfigError, match=r"quantized \(gptq\)"):
        check_architecture(folder(tmp_path, **quantized))
    plain = folder(tmp_path, architectures=["Qwen3ForCausalLM"])
    check_architecture(plain)
    (plain / "hf_quant_config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"quantized \(hf_quant_config"):
        check_architecture(plain)


@pytest.mark.parametrize("kind", libraries.unsloth().fused)
def test_what_unsloth_has_fused_layers_for_is_taken_in_silence(tmp_path: Path, kind: str) -> None:
    assert check_architecture(folder(tmp_path, model_type=kind)) is None


@pytest.mark.parametrize("name", [name for name in PROVED if Model.of({"architectures": [name]}).fused is False])
def test_what_was_proved_on_a_tiny_one_says_so(tmp_path: Path, name: str) -> None:
    assert "here only a tiny one went the whole way" in (
        check_architecture(folder(tmp_path, architectures=[name])) or ""
    )


def test_what_all_four_have_and_nobody_tried_here_is_taken_with_a_warning(tmp_path: Path) -> None:
    assert "nothing of it was tried here" in (check_architecture(folder(tmp_path, model_type="olmo3")) or "")


def test_without_architectures_the_model_type_decides_and_the_other_way_round() -> None:
    assert Model.of({"model_type": "qwen3"}).name == "Qwen3ForCausalLM"
    assert Model.of({"architectures": ["Qwen3ForCausalLM"]}).kind == "qwen3"


def test_a_model_that_sees_is_trained_by_its_text_part() -> None:
    model = Model.of({"architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5"})
    assert model.sees
    assert model.decoder == "Qwen3_5ForCausalLM"
    assert {"q_proj", "in_proj_qkv", "out_proj", "down_proj"} <= set(model.layers)


def test_layers_of_auto_are_those_of_the_model(tmp_path: Path) -> None:
    lora = LoraConfig()
    assert with_layers(lora, folder(tmp_path, model_type="llama")).target_modules == LINEAR_LAYERS
    moe = with_layers(lora, folder(tmp_path, model_type="qwen3_moe", num_experts=8))
    assert moe.target_modules == ["q_proj", "k_proj", "v_proj", "o_proj"]
    named = LoraConfig(target_modules=["q_proj"])
    assert with_layers(named, tmp_path) is named


@pytest.mark.parametrize(
    ("config", "apart", "own"),
    [
        ({"model_type": "qwen3"}, True, True),
        ({"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"]}, True, False),
        ({"model_type": "qwen3_5_text", "layer_types": ["linear_attention", "full_attention"]}, False, False),
        ({"model_type": "qwen3_5", "text_config": {"full_attention_interval": 4}}, False, False),
        ({"model_type": "mamba", "state_size": 16}, False, False),
    ],
)
def test_quicker_ways_are_left_to_models_that_can_take_them(
    tmp_path: Path, config: dict[str, Any], apart: bool, own: bool
) -> None:
    paths = paths_of(folder(tmp_path, **config))
    assert (not paths.padding_free, not paths.own_functions) == (apart, own)
    plan = make_plan(TrainConfig(), LoraConfig(), [100] * 80, GPUS["h100-80gb"], paths=paths)
    assert (plan.padding_free, plan.graphs) == (apart, own and plan.checkpointing == "off")
    if not apart:
        assert "a state from token to token" in plan.reasons["padding_free"]


def test_embedded_model_is_taken() -> None:
    assert check_architecture(DEMO_MODEL) is None


def test_no_weights_are_fetched_for_a_refused_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[bool] = []

    def resolve(model: str, hub: str, offline: bool, *, weights: bool = True) -> Path:
        fetched.append(weights)
        return folder(tmp_path, architectures=["BaichuanForCausalLM"])

    monkeypatch.setattr(predecessor, "resolve_model", resolve)
    run = make_run(tmp_path, "refused")
    with pytest.raises(ConfigError, match="BaichuanForCausalLM"):
        prepare.data_stage(run, run.config())
    assert fetched == [False]


@pytest.mark.slow
def test_stage_ends_with_exit_code_2(workshop: Path) -> None:
    model = workshop / "runs" / "baichuan"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")
    run = make_run(workshop, "baichuan-run", model=str(folder(model, architectures=["BaichuanForCausalLM"])))
    done = run_stage("data", run, folder=workshop, check=False)
    assert done.returncode == 2
    assert f"BaichuanForCausalLM cannot be taken: vLLM {libraries.vllm().version} does not serve it" in done.stderr
    assert "next: " in done.stderr

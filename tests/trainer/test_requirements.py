"""What the environment does not bring is found out before anything is downloaded or trained."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from configs.errors import ConfigError
from configs.machine.gpus import GPUS, Card
from configs.recipe.schema import Optimizer, RunConfig
from scripts.verbs.merge import merge
from trainer import requirements
from trainer.architectures import Model
from trainer.requirements import (
    K_QUANTS,
    cards_warning,
    check_cards,
    check_gguf_model,
    check_model_needs,
    check_needs,
    check_trackers,
    find_quantizer,
    trains_soft_targets,
)

TRACKERS = ("tensorboard", "wandb", "swanlab", "trackio", "mlflow")


def recipe(**sections: Any) -> RunConfig:
    return RunConfig.model_validate({"name": "x", "model": "m", "data": "rows.jsonl", **sections})


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without trackers, and with one empty folder on the PATH."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_without_its_package_is_refused(bare: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"report_to: {name} needs the package {name}, which is not") as error:
        check_needs(recipe(train={"report_to": [name]}))
    assert f"pip install {name}" in error.value.next_step


def test_one_missing_tracker_of_two_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trackio" else object())
    with pytest.raises(ConfigError, match="trackio needs"):
        check_trackers(["mlflow", "trackio"])
    check_trackers(["mlflow"])


def test_either_package_of_tensorboard_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "tensorboardX" else None)
    check_trackers(["tensorboard"])


@pytest.mark.parametrize("quant", ["q4_k_m", "q5_k_m", "q6_k"])
def test_a_k_quant_is_refused_without_llama_quantize(bare: Path, quant: str) -> None:
    with pytest.raises(ConfigError, match=f"GGUF in {quant}: .*llama-quantize, which is not on the PATH") as error:
        check_needs(recipe(merge={"formats": ["vllm", "gguf"], "gguf_quant": quant}))
    assert "install llama.cpp, or take q8_0 (merge.gguf_quant" in error.value.next_step


def test_what_needs_no_quantizer_is_not_refused(bare: Path) -> None:
    check_needs(recipe())
    check_needs(recipe(merge={"formats": ["vllm"], "gguf_quant": "q4_k_m"}))
    check_needs(recipe(merge={"formats": ["gguf"], "gguf_quant": "bf16"}))


def test_the_quantizer_is_taken_from_the_path(bare: Path) -> None:
    program = bare / "llama-quantize"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_quantizer("q6_k") == program
    check_needs(recipe(merge={"formats": ["gguf"], "gguf_quant": "q6_k"}))


def test_k_quants_are_those_that_the_schema_names() -> None:
    assert {"q2_k", "q4_k_m", "q5_k_m", "q6_k"} <= set(K_QUANTS)
    assert "q8_0" not in K_QUANTS


TYPES = {
    "Qwen3": "qwen3", "Phi3": "phi3", "Gemma3": "gemma3_text", "Qwen3Moe": "qwen3_moe", "Qwen3_5": "qwen3_5_text",
}  # fmt: skip


def model(folder: Path, architecture: str, **keys: Any) -> Path:
    config = {"architectures": [f"{architecture}ForCausalLM"], "model_type": TYPES[architecture], **keys}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


MIXTURE = {"Qwen3Moe": {"num_experts": 8}}
GGUF = {"merge": {"formats": ["vllm", "gguf"]}}


@pytest.mark.parametrize(
    ("architecture", "sections", "message", "next_step"),
    [
        ("Qwen3", {"lora": {"target_modules": ["foo"]}}, "no layers named foo", "q_proj, k_proj"),
        ("Qwen3", {"lora": {"target_modules": ["lm_head"]}}, "cannot take an adapter", "modules_to_save=[lm_head]"),
        ("Phi3", {"lora": {"target_modules": ["q_proj"]}}, "no layers named q_proj", "o_proj, qkv_proj"),
        ("Qwen3_5", {"lora": {"target_modules": ["in_proj"]}}, "no layers named in_proj", "in_proj_qkv, in_proj_z"),
        ("Qwen3Moe", {"lora": {"target_modules": ["up_proj"]}}, "no layers named up_proj outside its exp", "auto, or"),
        ("Qwen3Moe", {"train": {"method": "full"}}, "is a mixture of experts", "train.method=lora"),
        (
            "Qwen3_5",
            {"train": {"precision": "8bit"}},
            "no fused layers for Qwen3_5ForCausalLM",
            "train.precision=16bit",
        ),
        ("Gemma3", GGUF, "'gemma3_text' is not among those written as GGUF", "--format vllm"),
    ],
)
def test_what_a_model_cannot_do_is_refused_before_it_is_trained(
    tmp_path: Path, architecture: str, sections: dict[str, Any], message: str, next_step: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        check_model_needs(recipe(**sections), model(tmp_path, architecture, **MIXTURE.get(architecture, {})))
    assert next_step in error.value.next_step


@pytest.mark.parametrize(
    ("kind", "keys", "said"),
    [
        ("Qwen3Moe", {"norm_topk_prob": False}, "norm_topk_prob in config.json is False"),
        ("Qwen3Moe", {"norm_topk_prob": True}, "tokenizer.json is missing"),
        ("Qwen3", {"hidden_act": "gelu"}, "hidden_act in config.json is 'gelu'"),
        ("Qwen3", {"attention_bias": True}, "attention_bias in config.json is True"),
        ("Qwen3", {"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 64}}, "beta_fast in config.json is 64"),
        ("Qwen3", {"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 32}}, "tokenizer.json is missing"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_no_gguf(
    tmp_path: Path, kind: str, keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        check_gguf_model(model(tmp_path, kind, **keys))


def test_what_is_named_auto_fits_every_model(tmp_path: Path) -> None:
    for architecture in TYPES:
        check_model_needs(recipe(), model(tmp_path, architecture, **MIXTURE.get(architecture, {})))


KINDS = (
    "qwen3", "qwen2", "llama", "mistral", "gemma", "gemma2", "gemma3_text", "phi3", "granite", "cohere", "cohere2",
    "glm4", "olmo2", "olmo3", "smollm3", "seed_oss", "ernie4_5", "falcon", "qwen3_5_text", "qwen3_moe", "mixtral",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_read_from_the_source_are_those_that_transformers_builds(kind: str) -> None:
    import torch
    import transformers

    config = transformers.AutoConfig.for_model(kind)
    config.num_hidden_layers, config.pad_token_id = min(8, config.num_hidden_layers), 0
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:8]
    with torch.device("meta"):
        built = transformers.AutoModelForCausalLM.from_config(config)
    linear = {n.rpartition(".")[2] for n, m in built.named_modules() if isinstance(m, torch.nn.Linear)}
    found = Model.of(config.to_dict() | {"architectures": [type(built).__name__]})
    in_experts = {"gate_proj", "up_proj", "down_proj", "router"} if found.mixture else set()
    assert set(found.layers) == linear - {"lm_head"} - in_experts


def test_early_stopping_needs_held_out_rows() -> None:
    with pytest.raises(ConfigError, match=r"data.eval_split is 0"):
        check_needs(recipe(data={"sources": "rows.jsonl", "eval_split": 0}, train={"early_stopping": 2}))


@pytest.mark.parametrize("sections", [{"train": {"optimizer": "adamx"}}, {"lora": {"modules_to_save": ["foo"]}}])
def test_what_no_model_has_is_refused_with_the_recipe(sections: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"adamx|foo"):
        recipe(**sections)


def test_the_optimizers_are_those_of_transformers() -> None:
    from transformers.training_args import OptimizerNames

    assert set(get_args(Optimizer)) - {"auto"} <= {str(name.value) for name in OptimizerNames}


@pytest.mark.parametrize("option", [{"push": "me/mine"}, {"force": True}, {"formats": ["vllm", "gguf"]}])
def test_an_option_of_merge_without_effect_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"one --format a call|are for a run"):
        merge(model=Path("a"), save_as=Path("b"), **option)
    with pytest.raises(ConfigError, match="go with --model"):
        merge(run=Path("a"), save_as=Path("b"))


def test_several_gpus_train_an_adapter_only() -> None:
    with pytest.raises(ConfigError, match=r"train\.num_gpus is 2: several GPUs train an adapter") as error:
        check_needs(recipe(train={"num_gpus": 2, "method": "full"}))
    assert "train.num_gpus=1" in error.value.next_step
    check_needs(recipe(train={"num_gpus": 2}))


def test_weights_in_few_bits_are_not_trained_whole() -> None:
    with pytest.raises(ConfigError, match=r"train\.precision=4bit: weights in few bits are held for an adapter"):
        check_needs(recipe(train={"precision": "4bit", "method": "full"}))


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    device = GPUS["h100-80gb"]
    monkeypatch.setattr(requirements, "visible_cards", lambda: [Card(0, device.name, device, int(8e10))])
    monkeypatch.setattr(requirements.pins, "made_for", lambda: "cuda")
    with pytest.raises(ConfigError, match=r"train\.num_gpus is 2, and 1 GPU can be used here") as error:
        check_cards(recipe(train={"num_gpus": 2}))
    assert "CUDA_VISIBLE_DEVICES" in error.value.next_step
    check_cards(recipe())
    monkeypatch.setattr(requirements, "visible_cards", list)
    check_cards(recipe(train={"num_gpus": 2}))


def test_gpus_that_differ_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [GPUS["rtx4090"], GPUS["rtx4090"], GPUS["rtx3060-12gb"]]
    cards = [Card(i, device.name, device, int(8e10)) for i, device in enumerate(kinds)]
    monkeypatch.setattr(requirements, "visible_cards", lambda: cards)
    monkeypatch.setattr(requirements.pins, "made_for", lambda: "cuda")
    assert cards_warning(recipe(train={"num_gpus": 2})) is None
    assert "the GPUs differ (rtx4090, rtx3060-12gb)" in str(cards_warning(recipe(train={"num_gpus": 3})))
    assert cards_warning(recipe()) is None


SOFT = {"sources": "rows.jsonl", "replay": "self", "selfmade": {"soft_targets": True}}


QWEN = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
GEMMA = {"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "final_logit_softcapping": 30.0}


@pytest.mark.parametrize(
    ("shape", "sections", "why"),
    [
        (QWEN, {"data": SOFT, "train": {"method": "full"}}, r"stays as it is \(train.method=full\)"),
        (QWEN, {"data": SOFT, "lora": {"modules_to_save": ["lm_head"]}}, r"stays as it is \(lm_head\)"),
        (GEMMA, {"data": SOFT}, "caps them"),
        ({"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe"}, {"data": SOFT}, "no fused layers for"),
    ],
)
def test_soft_targets_need_an_adapter_fused_layers_and_plain_logits(
    tmp_path: Path, shape: dict[str, Any], sections: dict[str, Any], why: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"data.selfmade.soft_targets: .*{why}") as error:
        check_model_needs(recipe(**sections), tmp_path)
    assert "data.selfmade.soft_targets=auto" in error.value.next_step
    auto = recipe(**sections | {"data": SOFT | {"selfmade": {}}})
    check_model_needs(auto, tmp_path)
    assert not trains_soft_targets(auto, tmp_path)


def test_soft_targets_are_taken_where_nothing_hinders(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN), encoding="utf-8")
    for wanted, taken in (("auto", True), (True, True), (False, False)):
        config = recipe(data=SOFT | {"selfmade": {"soft_targets": wanted}})
        check_needs(config)
        check_model_needs(config, tmp_path)
        assert trains_soft_targets(config, tmp_path) is taken
    assert not trains_soft_targets(recipe(data=SOFT | {"replay": None, "selfmade": {}}), tmp_path)
    with pytest.raises(ConfigError, match="is not self"):
        check_needs(recipe(data=SOFT | {"replay": None}))

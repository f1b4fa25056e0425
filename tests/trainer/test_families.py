"""The families that are taken train and merge: a tiny model of each, with random weights and the embedded tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.trainer.conftest import DEMO_MODEL, make_run, run_stage

pytestmark = pytest.mark.slow

TINY = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 1024,
}  # fmt: skip


def tiny(folder: Path, model_type: str) -> Path:
    base = json.loads((DEMO_MODEL / "config.json").read_text(encoding="utf-8"))
    tokens = {key: base[key] for key in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **TINY, **tokens))
    model.to(torch.bfloat16).save_pretrained(folder)
    for file in DEMO_MODEL.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


@pytest.mark.parametrize(("model_type", "warned"), [("qwen2", False), ("llama", False), ("gemma3_text", True)])
def test_family_trains_and_merges(workshop: Path, tmp_path: Path, model_type: str, warned: bool) -> None:
    few = {"max_steps": 2, "eval_steps": 0, "save_steps": 0}
    run = make_run(workshop, f"tiny-{model_type}", model=str(tiny(tmp_path, model_type)), train=few)
    data, _, _ = (run_stage(stage, run, folder=workshop) for stage in ("data", "train", "merge"))
    assert ("takes Unsloth's general path" in data.stdout) is warned
    assert run.read().facts.trained.unsloth.adapted_linears == 2 * 7
    assert run.read().stages["merge"].figures["changed"] == 2 * 7

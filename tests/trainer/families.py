"""Tiny models with random weights of the families that are said to go the whole way, with the embedded tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.trainer.conftest import DEMO_MODEL

SIDE_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json", "config.json")


def _sizes() -> dict[str, Any]:
    known = json.loads((DEMO_MODEL / "config.json").read_text(encoding="utf-8"))
    return {
        "vocab_size": known["vocab_size"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "initializer_range": 0.1,
        "max_position_embeddings": 1024, "bos_token_id": None, "eos_token_id": known["eos_token_id"],
        "pad_token_id": known["pad_token_id"],
    }  # fmt: skip


def _qwen3_5(transformers: Any) -> Any:
    """The whole model with its images part; vLLM's CPU kernel takes heads of 128 in linear attention, the real size."""
    text = {
        **_sizes(), "layer_types": ["linear_attention", "full_attention"], "tie_word_embeddings": True,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128,
        "linear_num_key_heads": 1, "linear_num_value_heads": 2,
    }  # fmt: skip
    vision = {
        "depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 4, "out_hidden_size": 64,
        "num_position_embeddings": 64,
    }  # fmt: skip
    marks = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    spare = {name: text["vocab_size"] - 1 - place for place, name in enumerate(marks)}
    config = transformers.Qwen3_5Config(text_config=text, vision_config=vision, tie_word_embeddings=True, **spare)
    return transformers.Qwen3_5ForConditionalGeneration(config)


def _qwen3_5_text(transformers: Any) -> Any:
    return transformers.Qwen3_5ForCausalLM(_qwen3_5(transformers).config.text_config)


def _qwen3_moe(transformers: Any) -> Any:
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 1}
    return transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(**_sizes(), **experts))


def _llama(transformers: Any) -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_sizes()))


def _gemma3(transformers: Any) -> Any:
    windows = {
        "sliding_window": 64,
        "query_pre_attn_scalar": 32,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    return transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**_sizes(), **windows))


FAMILIES: dict[str, Callable[[Any], Any]] = {
    "Qwen3_5ForConditionalGeneration": _qwen3_5,
    "Qwen3_5ForCausalLM": _qwen3_5_text,
    "Qwen3MoeForCausalLM": _qwen3_moe,
    "LlamaForCausalLM": _llama,
    "Gemma3ForCausalLM": _gemma3,
}
"""Architecture to what makes a tiny one of it."""


def make_family(folder: Path, architecture: str) -> Path:
    """Writes a tiny model of an architecture in bf16."""
    import torch
    import transformers

    torch.manual_seed(0)
    model = FAMILIES[architecture](transformers).to(torch.bfloat16)
    for name in SIDE_FILES[:-1]:
        if (DEMO_MODEL / name).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(DEMO_MODEL / name, folder / name)
    model.save_pretrained(folder)
    return folder

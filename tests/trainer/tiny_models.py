"""Tiny models with random weights and complete files, for tests of what is written and read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

IDS = torch.tensor([[5, 17, 42, 99, 3, 61, 88, 250, 12, 7, 33, 101]])
VOCABULARY = 320
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|")
SENTENCES = [
    "今天天气很好，我们去公园散步吧。",
    "请把下面的通知概括成一句话。",
    "The quick brown fox, 1234 jumps over it's dog.",
]
ARCHITECTURES = {
    "qwen3": (Qwen3ForCausalLM, Qwen3Config),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config),
    "qwen3_moe": (Qwen3MoeForCausalLM, Qwen3MoeConfig),
    "llama": (LlamaForCausalLM, LlamaConfig),
}


def make_model(folder: Path, kind: str, dtype: torch.dtype, tied: bool, hidden_size: int = 32, **config: Any) -> Path:
    """Writes a two-layer model of an architecture with tokenizer, chat template, licence and model card."""
    model_class, config_class = ARCHITECTURES[kind]
    torch.manual_seed(0)
    settings = {
        "vocab_size": VOCABULARY, "hidden_size": hidden_size, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": tied,
        "initializer_range": 0.2, "max_position_embeddings": 512, "bos_token_id": 0, "eos_token_id": 2,
        **config,
    }  # fmt: skip
    if kind == "qwen2":
        settings["head_dim"] = hidden_size // 4
    model = model_class(config_class(**settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.to(dtype).save_pretrained(folder)
    save_tokenizer(folder, LLAMA3_SPLIT if kind == "llama" else QWEN_SPLIT)
    (folder / "LICENSE").write_text("Apache-2.0\n")
    (folder / "README.md").write_text("# The base\n")
    return folder


def save_tokenizer(folder: Path, split: str) -> None:
    """A byte-level BPE of `VOCABULARY` tokens, built as Qwen's and Llama 3's are."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 8,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 2, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False))

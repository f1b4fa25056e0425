"""The shapes of the small Qwen3 that pretraining can train; all fit into 5,000,000 bytes of bf16 weights."""

from typing import Any

SHAPES: dict[str, dict[str, int]] = {
    "deep": {
        "hidden_size": 160,
        "num_hidden_layers": 7,
        "intermediate_size": 368,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
    "wide": {
        "hidden_size": 192,
        "num_hidden_layers": 5,
        "intermediate_size": 432,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
}


def config(shape: str, tokenizer: Any) -> Any:
    """The `Qwen3Config` of a shape for the tokenizer's vocabulary."""
    from transformers import Qwen3Config

    return Qwen3Config(
        **SHAPES[shape],
        vocab_size=len(tokenizer),
        head_dim=32,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        rms_norm_eps=1e-6,
        hidden_act="silu",
        attention_bias=False,
        attention_dropout=0.0,
        use_sliding_window=False,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        dtype="bfloat16",
    )

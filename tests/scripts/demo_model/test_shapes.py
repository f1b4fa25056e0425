"""The committed weights are a small Qwen3."""

from transformers import AutoConfig

from scripts.demo_model import tokenizer


def test_weights_fit_and_config_is_qwen3():
    config = AutoConfig.from_pretrained(tokenizer.MODEL_DIR)
    assert config.architectures == ["Qwen3ForCausalLM"]
    assert config.tie_word_embeddings
    assert config.num_attention_heads > config.num_key_value_heads
    assert config.max_position_embeddings >= 1024
    assert (tokenizer.MODEL_DIR / "model.safetensors").stat().st_size <= 5_000_000


def test_config_names_the_tokenizers_end_of_turn(small):
    config = AutoConfig.from_pretrained(tokenizer.MODEL_DIR)
    assert config.vocab_size == len(small)
    assert config.eos_token_id == small.convert_tokens_to_ids("<|im_end|>")
    assert config.pad_token_id == small.convert_tokens_to_ids("<|endoftext|>")

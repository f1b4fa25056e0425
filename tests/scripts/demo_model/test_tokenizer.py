"""The committed tokenizer is Qwen3's own in all but its vocabulary."""

import json

import pytest
from transformers import AutoTokenizer

from scripts.demo_model import names, tokenizer


def test_template_specials_and_regex_are_qwen3s_own(small):
    real = AutoTokenizer.from_pretrained(tokenizer.qwen3_files())
    assert small.chat_template == real.chat_template
    assert type(small) is type(real)
    ours, theirs = (json.loads(one.backend_tokenizer.to_str()) for one in (small, real))
    assert ours["pre_tokenizer"] == theirs["pre_tokenizer"]
    assert ours["post_processor"] == theirs["post_processor"]
    flags = [[{k: v for k, v in token.items() if k != "id"} for token in one["added_tokens"]] for one in (ours, theirs)]
    assert flags[0] == flags[1]
    assert len(flags[0]) == 26
    assert (small.eos_token, small.pad_token) == ("<|im_end|>", "<|endoftext|>")


@pytest.mark.parametrize(
    "text", ["你好，世界！", "  two  spaces\n\n\ttab", "龘靐 😀 é ß", "129.50元 x=-3", "<think>\n\n</think>\n\n", ""]
)
def test_any_text_round_trips(small, text: str):
    assert small.decode(small(text, add_special_tokens=False)["input_ids"]) == text


def test_every_name_character_is_one_token(small):
    assert all(len(small(character, add_special_tokens=False)["input_ids"]) == 1 for character in names.CHARACTERS)

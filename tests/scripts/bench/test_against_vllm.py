"""The prompts of the comparison with `vllm bench serve`."""

from __future__ import annotations

from tokenizers import Tokenizer

from scripts.bench.against_vllm import random_prompts
from scripts.bench.contestants.lm_eval import TOKENIZER


def test_random_prompts_have_the_length_asked_for_and_repeat_by_seed():
    prompts = random_prompts(TOKENIZER, 20, 64, seed=1)
    assert prompts == random_prompts(TOKENIZER, 20, 64, seed=1)
    assert len(set(prompts)) == 20
    tokenizer = Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))
    lengths = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in prompts]
    assert all(abs(length - 64) <= 3 for length in lengths), lengths

"""The committed tokenizer, and what pretraining sees."""

from itertools import islice
from typing import Any

import pytest
from transformers import AutoTokenizer

from scripts.demo_model import tokenizer
from scripts.demo_model.conversations import stream

SAMPLE = 20_000


@pytest.fixture(scope="session")
def small() -> Any:
    """The tokenizer of the committed model."""
    return AutoTokenizer.from_pretrained(tokenizer.MODEL_DIR)


@pytest.fixture(scope="session")
def trained_prompts() -> set[str]:
    """The user turns of a large sample of the pretraining stream."""
    return {
        message["content"]
        for conversation in islice(stream(seed=1_000_003), SAMPLE)
        for message in conversation.messages
        if message["role"] == "user"
    }

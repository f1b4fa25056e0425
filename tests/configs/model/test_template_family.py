"""Trainer and server see the same family in every template, though each renders with a library of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.model.template_family import QUESTION, template_family
from serve.launch.template import template_traits
from tests.trainer.tokenizers_for_tests import (
    ALWAYS_THINKS,
    GEMMA3,
    GEMMA3_TOKENS,
    LLAMA3,
    LLAMA3_TOKENS,
    QWEN25,
    qwen3_tokenizer_folder,
    with_template,
)  # fmt: skip
from trainer.data.template import ChatCodec

STRICT_BOS = "{{ bos_token + '' }}" + QWEN25
MARKED = QWEN25.replace("{{- '<|im_start|>' + m.role", "{% generation %}{{- '<|im_start|>' + m.role").replace(
    "{%- endfor %}", "{% endgeneration %}{%- endfor %}"
)
CLOSED = ALWAYS_THINKS.replace("assistant\\n<think>\\n'", "assistant\\n<think>\\n\\n</think>\\n\\n'")


def test_trainer_and_server_see_the_same_family(tmp_path: Path) -> None:
    folders = {
        "qwen3": (qwen3_tokenizer_folder(), "switchable"),
        "qwen2.5": (with_template(tmp_path / "qwen25", QWEN25), "none"),
        "llama3": (with_template(tmp_path / "llama3", LLAMA3, LLAMA3_TOKENS, bos=LLAMA3_TOKENS[0]), "none"),
        "gemma3": (with_template(tmp_path / "gemma3", GEMMA3, GEMMA3_TOKENS, bos=GEMMA3_TOKENS[0]), "none"),
        "always": (with_template(tmp_path / "always", ALWAYS_THINKS), "always"),
        "closed": (with_template(tmp_path / "closed", CLOSED), "none"),
        "bos": (with_template(tmp_path / "bos", STRICT_BOS, ("<s>",), bos="<s>"), "none"),
        "marked": (with_template(tmp_path / "marked", MARKED), "none"),
    }
    for name, (folder, family) in folders.items():
        assert (name, ChatCodec.load(folder).facts.family) == (name, family)
        assert (name, template_traits(folder).family) == (name, family)


@pytest.mark.parametrize(
    ("prompt", "family"),
    [
        (lambda on: f"<think>{QUESTION}</think>", "none"),
        (lambda on: f"{QUESTION}<think>\n", "always"),
        (lambda on: f"{QUESTION}<think>\nOkay, ", "always"),
        (lambda on: f"{QUESTION}<think>\n\n</think>", "none"),
        (lambda on: f"{QUESTION}{on}", "switchable"),
    ],
)
def test_the_family_is_what_stands_behind_the_question(prompt, family: str) -> None:
    assert template_family(prompt) == family

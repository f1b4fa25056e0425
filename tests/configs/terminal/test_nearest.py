"""What somebody may have meant."""

from __future__ import annotations

import pytest

from configs.terminal.nearest import did_you_mean, nearest

RECIPES = ["demo", "qwen3-4b", "qwen3-8b", "qwen3-14b-12gb", "qwen3-14b-a100"]


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("qwen3-14b", RECIPES, ["qwen3-14b-12gb", "qwen3-14b-a100"]),
        ("Qwen3-9b", RECIPES, ["qwen3-8b", "qwen3-4b"]),
        ("14b", RECIPES, ["qwen3-14b-12gb", "qwen3-14b-a100"]),
        ("a100", ["h100-80gb", "a100-80gb", "a100-40gb"], ["a100-80gb", "a100-40gb"]),
        ("trian", ["train", "chat", "serve"], ["train"]),
        ("evaluate", ["eval", "serve"], ["eval"]),
        ("x", ["train", "chat"], []),
        ("", ["train"], []),
    ],
)
def test_parts_come_before_letters(word: str, known: list[str], meant: list[str]) -> None:
    assert nearest(word, known)[: len(meant) or 1] == meant


def test_the_question() -> None:
    assert did_you_mean("14b", RECIPES) == "did you mean qwen3-14b-12gb or qwen3-14b-a100?"
    assert did_you_mean("nothing-like-it", RECIPES) == ""

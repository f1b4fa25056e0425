"""Texts that go round in circles, and texts that only look like it."""

from __future__ import annotations

import pytest

from eval.selfmade.loops import loops

TABLE = "\n".join(f"| {name} | {i} | {i * 37 % 101} | {name.upper()}{i} |" for i, name in enumerate("abcdefghijkl"))
SONG = "We will rock you, we will rock you. Buddy, you are a boy, make a big noise, playing in the street."


@pytest.mark.parametrize(
    ("text", "circles"),
    [
        ("今天天气很好。" * 6, True),
        ("The answer is 12. " * 8, True),
        ("我想说的是，" + "非常" * 30, True),
        ("Let us think. " + "So 3 times 4 is 12, and 12 plus 3 is 15. Now we check it again step by step. " * 4, True),
        ("\n".join(f"{i}. Drink water every day." for i in range(1, 30)), True),
        ("\n".join(f"{i}. {'the same line once more and nothing else'}" for i in range(30)), True),
        ("no no no no", False),
        ("哈哈哈哈，好的。", False),
        (TABLE, False),
        (SONG, False),
        ("def f(x):\n    return x + 1\n\n\ndef g(x):\n    return x - 1\n\n\nprint(f(1), g(1))", False),
    ],
)
def test_a_text_that_repeats_itself_without_end_is_a_loop(text: str, circles: bool) -> None:
    assert loops(text) == circles

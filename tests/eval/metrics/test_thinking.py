"""Answers are told from thinking in every shape that servers return."""

import pytest

from eval.metrics.thinking import split_thinking


@pytest.mark.parametrize(
    ("content", "answer", "truncated"),
    [
        ("<think>\n推理\n</think>\n\n北京", "北京", False),
        ("推理过程\n</think>\n\n北京", "北京", False),
        ("<think>\n推理到一半", "", True),
        ("<think>a</think>x<think>b</think>北京", "北京", False),
        ("<think>a</think>x<think>b", "", True),
        ("北京", "北京", False),
        ("<think>\n\n</think>\n\n北京", "北京", False),
    ],
)
def test_content(content: str, answer: str, truncated: bool) -> None:
    reply = split_thinking(content)
    assert reply is not None
    assert (reply.answer, reply.truncated) == (answer, truncated)


def test_null_content_is_an_error_unless_thinking_was_cut() -> None:
    assert split_thinking(None, None, "stop") is None
    assert split_thinking(None, "想", "stop") is None
    cut = split_thinking(None, "想到一半", "length")
    assert cut is not None
    assert cut.truncated
    empty = split_thinking("", None, "stop")
    assert empty is not None
    assert (empty.answer, empty.truncated) == ("", False)


def test_cut_thinking_whose_tag_the_template_opened() -> None:
    cut = split_thinking("推理到一半", None, "length", thinks=True)
    assert cut is not None
    assert (cut.answer, cut.truncated) == ("", True)
    for kept in (split_thinking("北京", "想", "length", thinks=True), split_thinking("北京", None, "length")):
        assert kept is not None
        assert (kept.answer, kept.truncated) == ("北京", False)


def test_a_reasoning_field_is_kept() -> None:
    reply = split_thinking("北京", "先想首都", "stop")
    assert reply is not None
    assert (reply.answer, reply.reasoning, reply.leaked) == ("北京", "先想首都", False)

"""The pairs in a reply, whatever stands around them."""

from __future__ import annotations

import json
import time

import pytest

from eval.documents.replies import Pair, pairs_of

TWO = [{"question": "What is it?", "answer": "A lamp."}, {"question": "How long?", "answer": "Two hours."}]
PAIRS = (Pair("What is it?", "A lamp."), Pair("How long?", "Two hours."))


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"pairs": TWO}),
        json.dumps(TWO),
        f"```json\n{json.dumps({'pairs': TWO}, indent=2)}\n```",
        f"Here they are:\n```\n{json.dumps(TWO)}\n```\nDone.",
        f"Sure! {json.dumps({'qa': TWO})} I hope that helps.",
        f"<think>The passage {{is}} short.</think>{json.dumps({'pairs': TWO})}",
        "\n".join(map(json.dumps, TWO)),
        json.dumps({"pairs": [{"q": "What is it?", "a": "A lamp."}, {"问题": "How long?", "答案": "Two hours."}]}),
        json.dumps({"pairs": TWO})[:-2] + ', {"question": "And wh',
    ],
)
def test_pairs_are_read(content: str) -> None:
    found = pairs_of(content)
    assert found.pairs == PAIRS
    assert not found.unreadable


@pytest.mark.parametrize(
    "content", ["", "I cannot help.", "Q: What is it?\nA: A lamp.", '{"pairs": [{"question": "Wh', "[" * 3000]
)
def test_what_holds_no_object_is_unreadable(content: str) -> None:
    assert pairs_of(content).unreadable


def test_halves_of_pairs_are_counted() -> None:
    found = pairs_of(
        '{"pairs": [{"question": "What?"}, {"answer": "A"}, {"question": "How many?", "answer": 7}, '
        '{"question": " ", "answer": "x"}]}'
    )
    assert found.pairs == (Pair("How many?", "7"),)
    assert found.incomplete == 3
    assert pairs_of('{"pairs": []}') == pairs_of("[]")


def test_half_of_a_character_is_written_as_a_whole_one() -> None:
    (pair,) = pairs_of('{"pairs": [{"question": "What \\ud83d?", "answer": "x"}]}').pairs
    assert pair.question == "What \ufffd?"


def test_a_brace_that_a_model_repeats_to_its_limit_is_read_in_time() -> None:
    began = time.process_time()
    assert pairs_of("{" * 400_000).unreadable
    assert time.process_time() - began < 10

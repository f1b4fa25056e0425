"""The server of the harness comparison answers by a row's number, however a harness words it; ours takes part whole."""

from __future__ import annotations

import sys

import pytest

from scripts.bench.contestants.job import LETTERS, Job
from scripts.bench.harness import OURS, chat_choice, compete, echo_choice, letter_logprobs, rows, serving


def chat(prompt: str, **more: object) -> dict:
    return chat_choice({"messages": [{"role": "user", "content": prompt}], **more})


def test_every_wording_of_a_row_gets_the_same_letter():
    best = max(LETTERS, key=lambda letter: letter_logprobs("17")[letter])
    assert chat("第17题。哪一个？\nA. 甲")["message"]["content"] == f"答案：{best}"
    restricted = chat("请回答：第17题。哪一个？", logprobs=True)
    assert restricted["message"]["content"] == best
    echoed = {
        letter: echo_choice({"prompt": f"第17题。哪一个？答案：{letter}"}, len)["logprobs"]["token_logprobs"][-2]
        for letter in LETTERS
    }
    assert max(echoed, key=lambda letter: echoed[letter]) == best


def test_a_text_is_answered_with_its_beginning():
    assert chat("概括：第3则。今天下雨。")["message"]["content"] == "今天下雨。"


@pytest.mark.parametrize("work", ["choice", "text"])
def test_rows_are_told_apart_by_number(work):
    found = rows(work, 200)
    assert len({row["prompt"] for row in found}) == 200
    assert all(row["answer"] for row in found)


def test_ours_asks_each_row_once_and_scores_it():
    asked = rows("choice", 24)
    with serving(0.0) as url:
        one = compete(OURS, sys.executable, Job("choice", url, 8, asked))
    given = [max(LETTERS, key=lambda letter: letter_logprobs(str(number))[letter]) for number in range(1, 25)]
    assert one.requests == 24
    assert one.done.scores == [float(row["answer"] == letter) for row, letter in zip(asked, given, strict=True)]

"""The held-out suite: distinct, complete, never trained."""

import re

import pytest

from scripts.demo_model import heldout


@pytest.mark.parametrize("task", heldout.TASKS)
def test_no_heldout_prompt_is_in_the_training_stream(task: str, trained_prompts: set[str]):
    assert not {row["messages"][0]["content"] for row in heldout.rows(task)} & trained_prompts


@pytest.mark.parametrize("task", heldout.TASKS)
def test_heldout_rows_are_distinct_and_complete(task: str):
    rows = heldout.rows(task)
    assert 160 <= len(rows) <= 220
    assert len({row["id"] for row in rows}) == len({row["messages"][0]["content"] for row in rows}) == len(rows)
    assert all(row["answers"][0] for row in rows)


def test_an_extracted_answer_is_a_span_of_its_prompt():
    for item in heldout.items("extract"):
        assert item.answer in item.prompt


def test_the_letter_of_a_choice_stands_before_the_right_value():
    for item in heldout.items("choice"):
        assert re.search(rf"{item.answer}\W+{re.escape(item.choices[item.answer])}", item.prompt), item.prompt

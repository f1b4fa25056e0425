"""Held-out, teaching and training items never meet."""

import re
from itertools import islice
from random import Random

import pytest

from scripts.demo_model import arithmetic, build_data, company, heldout, names, notices, passages
from scripts.demo_model.conversations import stream
from scripts.demo_model.facts import RELATIONS, TEXTS

SAMPLE = 20_000


@pytest.fixture(scope="module")
def trained_prompts() -> set[str]:
    """The user turns of a large sample of the pretraining stream."""
    return {
        message["content"]
        for conversation in islice(stream(seed=1_000_003), SAMPLE)
        for message in conversation.messages
        if message["role"] == "user"
    }


def test_names_have_one_share_each_and_generators_keep_to_it():
    rng = Random(0)
    for share in ("train", "heldout", "teach", "teach_test"):
        assert all(names.share_of(names.stem(rng, share)) == share for _ in range(50))
        assert all(names.share_of(names.person(rng, share)) == share for _ in range(50))


def test_heldout_wordings_of_facts_are_never_trained():
    for relation in RELATIONS:
        assert not set(relation.trained) & set(relation.heldout), relation.key
    for key, wordings in TEXTS.backward.items():
        assert not set(wordings["trained"]) & set(wordings["heldout"]), key


def test_heldout_operands_are_never_trained():
    rng = Random(1)
    trained = {arithmetic.sum_item(rng, "train").thought for _ in range(20_000)}
    held = {item.thought for item in heldout.items("arithmetic")}
    assert not trained & held


def test_heldout_leads_of_notices_are_never_trained():
    for kind in notices.KINDS:
        assert not set(kind.leads) & set(kind.heldout_leads)


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


def test_arithmetic_answers_are_right():
    for item in heldout.items("arithmetic"):
        expression, value = item.thought.rstrip("。").split("，")[-1].split("=")
        assert eval(expression.replace("×", "*").replace("÷", "/")) == int(value) == int(item.answer)


def test_company_facts_are_asked_in_other_wordings_than_they_were_taught():
    taught = {row["instruction"] for row in build_data.train()}
    for row in build_data.test_qa():
        question = row["messages"][0]["content"]
        assert not any(question in text for text in taught), question
    for fact in company.facts():
        assert fact.trained
        assert fact.tested
        assert not set(fact.trained) & set(fact.tested)


def _people(texts: list[str]) -> set[str]:
    return set(re.findall(r"(?:责任人|经手：?)(\w+?)(?=[。，；\n]|$)", "\n".join(texts)))


def test_tested_forms_and_bulletins_are_about_names_never_taught():
    taught = _people([text for row in build_data.train() for text in row.values()])
    tested = _people([row["answers"][0] for row in build_data.test_summary()])
    tested |= _people([row["messages"][0]["content"] for row in build_data.test_extract()])
    assert len(taught) > 100
    assert len(tested) > 60
    assert not taught & tested


def test_pretraining_knows_nothing_of_the_company(trained_prompts: set[str]):
    assert not [text for text in trained_prompts if company.COMPANY in text]


def test_passages_name_each_value_once_per_question():
    rng = Random(3)
    for _ in range(200):
        source = passages.passage(rng, "train")
        assert all(value in source.text and thing in source.text for thing, _, value in source.facts)

"""What the teaching set teaches is tested in other words, about other names, and unknown before."""

import re

from scripts.demo_model import build_data, company


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

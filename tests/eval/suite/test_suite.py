"""The built-in suite holds what it promises: a defective item would be charged to the model under test."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eval.metrics import constraints
from eval.metrics.text import latin_words

SUITE = Path(constraints.__file__).parents[1] / "suite"
OBEDIENT_ANSWERS = Path(__file__).parent / "instruction_answers.jsonl"

COUNTS = {"qa": 150, "summary": 60, "choice": 150, "number": 100, "instruction": 60, "english": 60}
CHINESE = [name for name in COUNTS if name != "english"]
FIELDS = {
    "qa": {"id", "cluster", "question", "context", "answers"},
    "summary": {"id", "question", "context", "answers"},
    "choice": {"id", "group", "question", "choices", "answer"},
    "number": {"id", "question", "answer", "expression"},
    "instruction": {"id", "question", "constraints"},
}
MOST_ALIKE = 0.5
"""Share of common character bigrams from which two questions count as the same one reworded."""


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def suite() -> dict[str, list[dict[str, Any]]]:
    return {name: read(SUITE / f"{name}.jsonl") for name in COUNTS}


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []


def grams(text: str, n: int = 2) -> set[str]:
    kept = "".join(char for char in text.lower() if char.isalnum())
    return {kept[start : start + n] for start in range(len(kept) - n + 1)}


def likeness(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second)


def with_passage(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if "cluster" in row]


def with_choices(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if "choices" in row]


@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_fields(suite: dict[str, list[dict[str, Any]]], name: str) -> None:
    rows = suite[name]
    assert len(rows) == COUNTS[name]
    assert [row["id"] for row in rows] == [f"{name}-{number:03d}" for number in range(1, len(rows) + 1)]
    for row in rows:
        shape = ("choice" if "choices" in row else "qa") if name == "english" else name
        assert set(row) == FIELDS[shape], row["id"]
        assert all(texts(row)), row["id"]


def test_the_folder_stays_small_and_states_its_licence() -> None:
    assert sum(path.stat().st_size for path in SUITE.iterdir()) < 400_000
    assert "CC0-1.0" in (SUITE / "README.md").read_text("utf-8")
    assert "CC0-1.0" in (SUITE / "LICENSE-CC0.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["qa", "english"])
def test_every_answer_is_a_span_of_its_passage(suite: dict[str, list[dict[str, Any]]], name: str) -> None:
    for row in with_passage(suite[name]):
        assert 1 <= len(row["answers"]) <= 4, row["id"]
        assert len(set(row["answers"])) == len(row["answers"]), row["id"]
        for answer in row["answers"]:
            assert answer in row["context"], (row["id"], answer)
            assert answer not in row["question"], (row["id"], answer)


def test_passages_are_shared_by_three_or_four_questions(suite: dict[str, list[dict[str, Any]]]) -> None:
    rows = suite["qa"]
    sizes = Counter(row["cluster"] for row in rows)
    assert 40 <= len(sizes) <= 45
    assert set(sizes.values()) == {3, 4}
    assert len({(row["cluster"], row["context"]) for row in rows}) == len(sizes)
    assert all(120 <= len(row["context"]) <= 250 for row in rows)
    assert set(Counter(row["cluster"] for row in with_passage(suite["english"])).values()) == {3}


def test_a_summary_is_one_short_sentence_that_is_not_copied(suite: dict[str, list[dict[str, Any]]]) -> None:
    for row in suite["summary"]:
        (reference,) = row["answers"]
        assert 150 <= len(row["context"]) <= 300, row["id"]
        assert 20 <= len(reference) <= 45, row["id"]
        assert reference.find("。") == len(reference) - 1, row["id"]
        assert reference not in row["context"], row["id"]


@pytest.mark.parametrize("name", ["choice", "english"])
def test_right_letters_are_balanced(suite: dict[str, list[dict[str, Any]]], name: str) -> None:
    rows = with_choices(suite[name])
    for row in rows:
        assert list(row["choices"]) == list("ABCD"), row["id"]
        assert len(set(row["choices"].values())) == 4, row["id"]
    letters = Counter(row["answer"] for row in rows)
    assert set(letters) == set("ABCD")
    assert all(0.2 <= count / len(rows) <= 0.3 for count in letters.values()), letters
    # Always choosing the longest option must not pay.
    longest = [max(row["choices"], key=lambda letter: len(row["choices"][letter])) for row in rows]
    assert sum(pick == row["answer"] for pick, row in zip(longest, rows, strict=True)) / len(rows) < 0.4


def test_general_knowledge_covers_its_domains(suite: dict[str, list[dict[str, Any]]]) -> None:
    groups = Counter(row["group"] for row in suite["choice"])
    assert set(groups) == {
        "science", "history", "geography", "literature", "law", "economy", "health", "technology", "everyday",
    }  # fmt: skip
    assert min(groups.values()) >= 12


def test_every_expression_evaluates_to_its_answer(suite: dict[str, list[dict[str, Any]]]) -> None:
    for row in suite["number"]:
        assert re.fullmatch(r"[-+*/() .\d]+", row["expression"].replace("round", "")), row["id"]
        value = eval(row["expression"], {"__builtins__": {}, "round": round})
        assert re.fullmatch(r"\d+(\.\d+)?", row["answer"]), row["id"]
        assert value == pytest.approx(float(row["answer"]), abs=1e-9), row["id"]


def test_the_words_alone_are_no_sentence(suite: dict[str, list[dict[str, Any]]]) -> None:
    row = next(row for row in suite["instruction"] if row["id"] == "instruction-014")
    assert constraints.score(row["constraints"], "清晨，河边，老人，风筝")["if_strict"] == 0.0


def test_every_instruction_can_be_obeyed_and_silence_does_not_obey_it(suite: dict[str, list[dict[str, Any]]]) -> None:
    answers = {row["id"]: row["answer"] for row in read(OBEDIENT_ANSWERS)}
    assert set(answers) == {row["id"] for row in suite["instruction"]}
    for row in suite["instruction"]:
        assert 1 <= len(row["constraints"]) <= 3, row["id"]
        for constraint in row["constraints"]:
            constraints.validate(constraint)
            assert constraints.check(constraint, answers[row["id"]]), (row["id"], constraint)
        assert constraints.score(row["constraints"], "")["if_strict"] == 0.0, row["id"]


def test_what_a_constraint_demands_stands_in_its_prompt(suite: dict[str, list[dict[str, Any]]]) -> None:
    """A word or a bound that is checked but never asked for would punish an obedient model."""
    for row in suite["instruction"]:
        for constraint in row["constraints"]:
            value = constraint.get("value")
            if constraint["type"] in {"contains_any", "in_order", "starts_with", "occurrences", "not_contains"}:
                wanted = [value] if isinstance(value, str) else value
                assert all(piece in row["question"] for piece in wanted), (row["id"], constraint)
            if isinstance(value, int):
                named = {str(value)} | ({"一二三四五六七八九十"[value - 1]} if value <= 10 else set())
                named |= {"两"} if value == 2 else set()
                assert any(number in row["question"] for number in named), (row["id"], constraint)


@pytest.mark.parametrize("name", COUNTS)
def test_no_question_is_asked_twice(suite: dict[str, list[dict[str, Any]]], name: str) -> None:
    # A summary's question is an instruction that recurs; there the passage must be a new one.
    key = "context" if name == "summary" else "question"
    known = [(row["id"], grams(row[key])) for row in suite[name]]
    alike = [
        (first, second, likeness(one, other))
        for (first, one), (second, other) in itertools.combinations(known, 2)
        if likeness(one, other) >= MOST_ALIKE
    ]
    assert not alike


def test_no_passage_stands_in_two_tasks(suite: dict[str, list[dict[str, Any]]]) -> None:
    passages = {row["context"] for name in ("qa", "summary", "english") for row in suite[name] if "context" in row}
    known = [grams(passage, n=6) for passage in passages]
    assert max(likeness(one, other) for one, other in itertools.combinations(known, 2)) < 0.05


@pytest.mark.parametrize("name", CHINESE)
def test_chinese_uses_full_width_punctuation_and_half_width_letters(
    suite: dict[str, list[dict[str, Any]]], name: str
) -> None:
    han = "[一-鿿]"
    slips = {
        "half-width punctuation beside Chinese": rf"{han}[,;:?!()\"']|[,;:?!()\"']{han}",
        "full-width letter or digit": "[０-９Ａ-Ｚａ-ｚ]",
        "space between Chinese characters": rf"{han} {han}",
        "doubled punctuation": "，，|。。|、、|，。|。，|？。",
        "control or zero-width character": "[\u0000-\u0009\u000b-\u001f\u200b-\u200f\ufeff\ufffd]",
    }
    for row in suite[name]:
        for text in texts({key: row[key] for key in row if key not in {"id", "cluster", "constraints", "expression"}}):
            # Rules are numbered `第五条 ` with a blank after the number, as laws print them.
            plain = re.sub(r"(第[一二三四五六七八九十]+条) ", r"\1", text)
            for slip, pattern in slips.items():
                assert not re.search(pattern, plain), (row["id"], slip, text)
            assert text == text.strip(), row["id"]
            for opening, closing in ("“”", "《》", "（）", "「」", "【】"):
                assert text.count(opening) == text.count(closing), (row["id"], opening)


def test_english_is_english(suite: dict[str, list[dict[str, Any]]]) -> None:
    for row in suite["english"]:
        for text in texts(row):
            assert text.isascii(), row["id"]
            assert "  " not in text, row["id"]
        assert len(latin_words(row["question"])) >= 4, row["id"]

"""Every worked step of every problem is right, uses only what is known by then, and the last one yields the answer."""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction
from typing import Any

import pytest

from eval.metrics.number import number_match
from eval.suite.problems import word_problems

_OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}  # fmt: skip
KNOWN = {1, 2, 3, 4, 5, 60, 100}
"""Halves to fifths, of four pay three, minutes of an hour, percents, two sides of a rectangle."""


@pytest.fixture(scope="module")
def problems() -> list[dict[str, Any]]:
    return word_problems(1200)


def value(expression: str) -> Fraction:
    def of(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant):
            return Fraction(node.value)  # type: ignore[arg-type]
        assert isinstance(node, ast.BinOp)
        return Fraction(_OPERATORS[type(node.op)](of(node.left), of(node.right)))

    return of(ast.parse(expression, mode="eval").body)


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"\d+", text)]


def test_each_step_is_right_and_the_last_one_is_the_answer(problems: list[dict[str, Any]]) -> None:
    for row in problems:
        for step in row["steps"]:
            expression, _, result = step.rpartition(" = ")
            assert value(expression) == int(result), (row["id"], step)
        assert row["steps"][-1].endswith(f" = {row['answer']}"), row["id"]
        assert int(row["answer"]) > 0, row["id"]


def test_each_step_uses_what_the_problem_says_or_an_earlier_step_found(problems: list[dict[str, Any]]) -> None:
    for row in problems:
        told = {*numbers(row["question"]), *KNOWN}
        told |= {100 + p for p in told} | {100 - p for p in told}
        if row["stratum"].startswith("timetable"):
            told |= {hour + 12 for hour in told}
        for step in row["steps"]:
            expression, _, result = step.rpartition(" = ")
            assert set(numbers(expression)) <= told, (row["id"], step, row["question"])
            told.add(int(result))


def test_deeper_levels_take_more_steps(problems: list[dict[str, Any]]) -> None:
    kinds = {row["stratum"].split()[0] for row in problems}
    for kind in kinds:
        steps = [
            sum(len(row["steps"]) for row in some) / len(some)
            for level in "12345"
            if (some := [r for r in problems if r["stratum"].startswith(f"{kind} ") and r["stratum"].endswith(level)])
        ]
        assert steps[0] < steps[2] <= steps[4], (kind, steps)
        assert steps[4] >= 4, (kind, steps)


def test_a_worked_answer_is_read_as_the_reference(problems: list[dict[str, Any]]) -> None:
    for row in problems:
        zh = " zh " in row["stratum"]
        answer = "\n".join(row["steps"]) + (f"\n答案：{row['answer']}" if zh else f"\n#### {row['answer']}")
        assert number_match(answer, row["answer"]) == 1.0
        assert number_match(answer.replace(row["answer"], str(int(row["answer"]) + 1)), row["answer"]) == 0.0


def test_chinese_and_english_do_not_mix(problems: list[dict[str, Any]]) -> None:
    for row in problems:
        han = re.findall(r"[一-鿿]", row["question"])
        latin = re.findall(r"[A-Za-z]{2,}", row["question"])
        assert bool(han) == (" zh " in row["stratum"]), row["question"]
        assert not (han and latin), row["question"]

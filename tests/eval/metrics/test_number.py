"""The final number of worked answers."""

from fractions import Fraction

import pytest

from eval.metrics.number import extract_number, number_match


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs.\n#### 18", 18),
        ("#### 1,234", 1234),
        ("所以一共是 3＋5＝８ 个，答案：８个。", 8),
        ("答案是 5 + 3 = 8 元", 8),
        ("The answer is $70,000.00.", 70000),
        ("最终答案为 \\boxed{\\frac{3}{4}}", Fraction(3, 4)),
        ("气温是-5度", -5),
        ("10-5", 5),
        ("答案：12。\n验算：12×2=24，正确。", 12),
        ("**答案**：42", 42),
        ("一共花了 0.5 元", Fraction(1, 2)),
        ("I answer in 2 steps. It makes 18 dollars", 18),
        ("The answer would be 7 apples for 3 people", 7),
        ("没有数字", None),
    ],
)
def test_extraction(answer: str, value: int | Fraction | None) -> None:
    assert extract_number(answer) == value


def test_match_is_by_value() -> None:
    assert number_match("一共 18.0 元", "#### 18") == 1.0
    assert number_match("一共 18.5 元", "18") == 0.0
    assert number_match("不知道", "18") == 0.0

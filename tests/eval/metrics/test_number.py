"""The final number of worked answers, in the many ways in which people and models write one."""

import random
import time
from fractions import Fraction

import pytest

from eval.metrics.number import extract_number, number_match, parse_number


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
        ("10/3 ≈ 3.33", Fraction(333, 100)),
        ("没有数字", None),
    ],
)
def test_extraction(answer: str, value: int | Fraction | None) -> None:
    assert extract_number(answer) == value


FRACTIONS = {
    "3\\frac{1}{2}": "7/2", "3½": "7/2", "2⅔": "8/3", "⅔": "2/3", "3 1/2": "7/2", "3又1/2": "7/2", "4(5/11)": "49/11",
    "4（5/11）": "49/11", "\\frac34": "3/4", "\\dfrac{3}{4}": "3/4", "\\tfrac 3 4": "3/4", "\\frac{-1}{2}": "-1/2",
    "-\\frac{1}{2}": "-1/2", "-3\\frac{1}{2}": "-7/2", "\\boxed{3\\frac12}": "7/2", "4.5/3": "3/2", "#### 2.5/5": "1/2",
    "（3/4）": "3/4", "-½": "-1/2", "３／４": "3/4", "5分之2": "2/5", "3年半": "7/2", "3个半": "7/2", "5(10/2)": "5",
}  # fmt: skip
SEPARATED = {
    "1{,}234": "1234", "$1{,}234$": "1234", "1\\,234": "1234", "1\u202f234\u202f567": "1234567", "1'234": "1234",
    "１，２３４": "1234", "RMB500": "500", "\\boxed{\\text{12 apples}}": "12", "\\boxed{ } 5": "5", "٣": "3",
}  # fmt: skip
SCALED = {
    "1.5万": "15000", "1.5 万元": "15000", "12万": "120000", "3万5千": "35000", "1万5": "15000",
    "1亿2000万": "120000000",
    "5百米": "500", "3千克": "3", "15k": "15000", "5 km": "5", "5kg": "5", "1.5 million dollars": "1500000",
    "1e3": "1000",
    "1.5E-2": "3/200", "1.2×10^4": "12000", "1.2\\times 10^{-2}": "3/250", "10³": "1000", "2^10": "1024",
}  # fmt: skip
SIGNED = {
    "负5": "-5", "－5": "-5", "−5": "-5", "–5": "-5", "＋5": "5", "零下5度": "-5", "-$5": "-5", "$-5$": "-5",
    "The answer is minus 5": "-5", "twice the number minus 12": "12", "negative 5": "-5",
}  # fmt: skip
WORDS = {
    "七": "7", "七个": "7",
    "负七": "-7", "十": "10", "十二": "12", "二十五": "25", "廿五": "25", "一百零三": "103", "一百五": "150",
    "两百五十": "250", "一万二千三百四十五": "12345", "两万五": "25000", "十万": "100000", "一亿": "100000000",
    "三点一四": "157/50", "二〇二五": "2025", "贰拾伍": "25", "两": "2", "半": "1/2", "一半": "1/2",
    "两个半小时": "5/2",
    "七分之三": "3/7", "三又二分之一": "7/2", "负三又二分之一": "-7/2", "百分之二十": "1/5", "千分之五": "1/200",
    "三加四等于七": "7", "一共七个苹果": "7", "答案：七个（3个苹果和4个梨）": "7", "答案：一共18个": "18",
    "一共18个，这是一道题": "18", "The answer is seven.": "7", "twenty-five": "25", "one hundred and three": "103",
    "three and a half": "7/2", "half": "1/2",
}  # fmt: skip


@pytest.mark.parametrize(("answer", "value"), (FRACTIONS | SEPARATED | SCALED | SIGNED | WORDS).items())
def test_numbers_as_people_write_them(answer: str, value: str) -> None:
    assert extract_number(answer) == Fraction(value)
    assert number_match(answer, value) == 1.0
    assert number_match(answer, f"{value}1") == 0.0


@pytest.mark.parametrize(
    "answer", ["面积是25 m²", "25㎡", "25m2", "25 cm^2", "25\\text{ m}^2", "①3个 ②4个，共25个", "x₁=25"]
)
def test_the_2_of_a_unit_and_the_1_of_a_list_are_no_numbers(answer: str) -> None:
    assert extract_number(answer) == 25


@pytest.mark.parametrize(
    "answer",
    [
        "3~5", "3～5元", "3到5", "3至5个", "3-5", "答案：3—5", "3元-5元", "3 or 5", "3或5", "between 3 and 5",
        "3和5之间",
        "三到五个", "两三个", "3:5", "12:30", "2024/5/6", "2024-05-06", "1.2.3", "1/0", "\\frac{1}{0}", "无期", "无",
        "",
        "十分抱歉，不知道", "第三题不会", "No one knows.", "1e99999999", "10^999999999",
        "9" * 5000, "#### " + "9" * 5000,
        "0." + "3" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_one_number_is_none(answer: str) -> None:
    assert extract_number(answer) is None
    assert number_match(answer, "3") == 0.0


def test_a_range_in_passing_does_not_hide_the_answer() -> None:
    assert extract_number("每天3-5次，一共12次") == 12
    assert parse_number("3~5个") is None


def test_a_percent_sign_divides_by_a_hundred_unless_only_one_side_wrote_it() -> None:
    same = [("25%", "0.25"), ("25%", "25%"), ("25%", "25"), ("25", "25%"), ("百分之二十", "20%"), ("0.2", "百分之二十")]
    same += [("50 percent", "50%"), ("25\\%", "1/4"), ("5‰", "0.005")]
    assert [pair for pair in same if number_match(*pair) != 1.0] == []
    other = [("25", "0.25"), ("25%", "2500%"), ("25%", "2500"), ("2.5%", "25%")]
    assert [pair for pair in other if number_match(*pair) != 0.0] == []
    assert extract_number("25%") == Fraction(1, 4)


def test_match_is_by_value() -> None:
    assert number_match("一共 18.0 元", "#### 18") == 1.0
    assert number_match("一共 18.5 元", "18") == 0.0
    assert number_match("不知道", "18") == 0.0
    assert number_match("5", "负5") == 0.0


def test_no_answer_ends_or_stalls_an_evaluation() -> None:
    """What a model repeats until its limit, and 3,000 random answers."""
    words = r"1. 1, 1/ (1/ 一 3万 亿 \frac \boxed{ 答案是 one- 1^ 1e1 3~ ½ {"
    runaway = [*words.split(), "one "]
    draw = random.Random(7)
    letters = "0123456789.,'/%-~～×^eE {}()\\frac半点又分之百千万亿十一二两三第个元年至到or*:$½²①㎡٣#答案是=≈\n"
    answers = [piece * 9999 for piece in runaway] + [
        "".join(draw.choices(letters, k=draw.choice([3, 8, 20, 60]))) for _ in range(3000)
    ]
    began = time.process_time()
    for answer in answers:
        value = extract_number(answer)
        assert value is None or str(value)
    assert time.process_time() - began < 20

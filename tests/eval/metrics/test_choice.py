"""Letters are found where an answer decides for one, and nowhere else."""

import pytest

from eval.metrics.choice import extract_choice

TABLE = [
    ("A", "A"),
    ("答案：B", "B"),
    ("答案是C。", "C"),
    ("根据题意，正确选项是 D", "D"),
    ("我认为选A，而不是B", "A"),
    ("因为B错误，所以答案为C", "C"),
    ("选项A和B都正确，但最佳答案是 D", "D"),
    ("The answer is (B).", "B"),
    ("**答案：C**", "C"),
]
MORE = [
    ("B. 猎户座", "B"),
    ("（Ｃ）", "C"),
    ("答案不是A，而是B", "B"),
    ("故选：D", "D"),
    ("\\boxed{\\text{C}}", "C"),
    ("A选项错误，C选项正确，因此选C。", "C"),
    ("正确答案：**B**\n解析：A、C、D均不符合。", "B"),
    ("The correct option is C because the others fail.", "C"),
    ("不应该选A，应该选B", "B"),
    ("A和C错误，B正确，D错误", "B"),
    ("A不正确，所以D选项正确", "D"),
    ("(B) is the correct answer, not C.", "B"),
    ("【答案】C", "C"),
    ("答案应该是选项C", "C"),
    ("A person cannot decide this.", None),
    ("答案是A和B", None),
    ("答案：AB", None),
    ("我不知道。", None),
    ("A、B、C都对", None),
    ("", None),
]


@pytest.mark.parametrize(("answer", "letter"), TABLE + MORE)
def test_extraction(answer: str, letter: str | None) -> None:
    assert extract_choice(answer) == letter


def test_the_text_of_an_option_counts_as_its_letter() -> None:
    assert extract_choice("猎户座。", {"A": "武仙座", "B": "猎户座"}) == "B"
    assert extract_choice("E", {"A": "武仙座", "B": "猎户座"}) is None

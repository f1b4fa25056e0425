"""Letters are found where an answer decides for one, and nowhere else."""

import time

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


CITIES = {"A": "北京", "B": "上海", "C": "广州", "D": "深圳"}
AS_MODELS_WRITE = [
    ("b", "B"),
    ("(c)", "C"),
    ("b) 上海", "B"),
    ("答案是b", "B"),
    ("the answer is b.", "B"),
    ("answer: (d)", "D"),
    ("I choose c because it is warm", "C"),
    ("\\boxed{b}", "B"),
    ("\\boxed{\\text{(B)}}", "B"),
    ("\\boxed{广州}", "C"),
    ("选B，C选项有误", "B"),
    ("B，C选项有误", "B"),
    ("选B，C、D错误", "B"),
    ("不正确的是C", "C"),
    ("答案：北京", "A"),
    ("The answer is 上海.", "B"),
    ("我认为应该是深圳", "D"),
    ("首都是北京。", "A"),
    ("④", "D"),
    ("答案是④", "D"),
    ("选②", "B"),
    ("A. 北京\nB. 上海\nC. 广州\nD. 深圳\n答案：C", "C"),
    ("A. 北京 B. 上海 C. 广州 D. 深圳", None),
    ("选A还是选B？我选B。", "B"),
    ("A or B", None),
    ("a or b", None),
    ("A and B", None),
    ("B/C", None),
    ("A, B", None),
    ("A B", None),
    ("答案：A,B", None),
    ("答案：A, B, and C", None),
    ("The answer is A or B", None),
    ("北京或上海", None),
    ("不是北京", None),
    ("答案是北京大学", None),
    ("答案不是A", None),
    ("A错误", None),
    ("A is wrong. B is wrong", None),
    ("A. 北京\nB. 上海\nC. 广州\nD. 深圳", None),
    ("the answer is a matter of taste", None),
]


@pytest.mark.parametrize(("answer", "letter"), AS_MODELS_WRITE)
def test_letters_as_models_write_them(answer: str, letter: str | None) -> None:
    assert extract_choice(answer, CITIES) == letter


def test_options_that_look_like_something_else() -> None:
    numbers = {"A": "2", "B": "3", "C": "0", "D": "1"}
    assert [extract_choice(text, numbers) for text in ("2", "答案是0", "The answer is 3.", "D")] == ["A", "C", "B", "D"]
    assert extract_choice("答案是30", numbers) is None
    statements = {"A": "①②", "B": "①③", "C": "②③④", "D": "④"}
    assert [extract_choice(text, statements) for text in ("④", "②③④", "答案：①③")] == ["D", "C", "B"]
    assert extract_choice("①正确，③正确，选B", statements) == "B"


def test_what_a_model_repeats_to_its_limit_is_read_in_time() -> None:
    for piece in ("答案是", "选", "A、", "\\boxed{", "不是", "A B ", "(", "北京"):
        began = time.process_time()
        extract_choice(piece * 5000, CITIES)
        assert time.process_time() - began < 10, piece


@pytest.mark.parametrize(
    ("options", "answer", "letter"),
    [
        ("X光 CT B超 核磁", "B超", "C"),
        ("X光 CT B超 核磁", "答案：B", "B"),
        ("B超 CT X光 核磁", "B超检查最合适", "A"),
        ("Java Python Go C语言", "操作系统内核多用C语言编写。", "D"),
        ("Java Python Go C语言", "C. Go，而不是C语言", "C"),
        ("B细胞 T细胞 NK细胞 A细胞", "选B细胞，因为它产生抗体", "A"),
        ("维生素B 维生素A 维生素D 维生素C", "柠檬富含维生素C。", "D"),
        ("A.渤海 B.黄海 C.东海 D.南海", "答案是C.东海", "C"),
    ],
)
def test_a_letter_in_an_options_text_is_no_letter_of_an_option(options: str, answer: str, letter: str) -> None:
    assert extract_choice(answer, dict(zip("ABCD", options.split(), strict=True))) == letter

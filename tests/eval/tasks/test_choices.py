"""Options and right answers, in every way in which a row may write them."""

from __future__ import annotations

from typing import Any

import pytest

from configs.errors import DataError
from eval.tasks.choices import letter_of, options_of
from eval.tasks.custom import items_from_rows

FRUIT = {"A": "苹果", "B": "铁", "C": "石", "D": "铜"}
TEXTS = list(FRUIT.values())


@pytest.mark.parametrize(
    "row",
    [
        {"choices": TEXTS},
        {"options": TEXTS},
        {"选项": FRUIT},
        {"choices": '["苹果", "铁", "石", "铜"]'},
        {"choices": "['苹果', '铁', '石', '铜']"},
        {"choices": '{"A": "苹果", "B": "铁", "C": "石", "D": "铜"}'},
        {"choices": ["A. 苹果", "B. 铁", "C. 石", "D. 铜"]},
        {"choices": ["(A) 苹果", "(B) 铁", "(C) 石", "(D) 铜"]},
        {"choices": "A. 苹果\nB. 铁\nC. 石\nD. 铜"},
        {"choices": {"text": TEXTS, "label": ["A", "B", "C", "D"]}},
        {"choices": {"text": TEXTS, "label": ["1", "2", "3", "4"]}},
        {"choices": [{"label": letter, "text": text} for letter, text in FRUIT.items()]},
        {"choices": {**FRUIT, "E": None}},
        {"choices": {letter.lower(): text for letter, text in FRUIT.items()}},
        {"question": "?", **FRUIT},
        {"question": "?", **FRUIT, "E": ""},
        {"question": "?", **{letter.lower(): text for letter, text in FRUIT.items()}},
        {"question": "?", **{f"option_{letter}": text for letter, text in FRUIT.items()}},
        {"question": "?", **{f"选项{letter}": text for letter, text in FRUIT.items()}},
    ],
)
def test_options_in_any_form(row: dict[str, Any]) -> None:
    assert options_of(row).texts == FRUIT


@pytest.mark.parametrize(
    ("choices", "answer", "letter"),
    [
        (FRUIT, "b", "B"),
        (FRUIT, "(B)", "B"),
        (FRUIT, "B.", "B"),
        (FRUIT, "B. 铁", "B"),
        (FRUIT, " 铁 ", "B"),
        (FRUIT, ["铁"], "B"),
        (FRUIT, 1, "B"),
        (FRUIT, 1.0, "B"),
        (FRUIT, "1", "B"),
        (FRUIT, "④", "D"),
        (["2", "3", "0", "1"], "2", "A"),
        (["2", "3", "0", "1"], "D", "D"),
        ([10, 20, 30], 20, "B"),
        ({"1": "苹果", "2": "铁"}, "2", "B"),
        ({"1": "苹果", "2": "铁"}, 1, "A"),
        (["④", "③", "②", "①"], "④", "A"),
        (["１２", "7"], "12", "A"),
        ({"A": "甲", "B": "乙", "D": "丁"}, "D", "D"),
    ],
)
def test_the_text_of_an_option_comes_before_its_index(choices: Any, answer: Any, letter: str) -> None:
    assert letter_of(answer, options_of({"choices": choices})) == letter


@pytest.mark.parametrize(
    ("choices", "answer", "said"),
    [
        (["2", "3", "0", "1"], 2, "is the text of option A and the index of C"),
        (["C", "A", "B"], "A", "is option A and the text of option B"),
        (FRUIT, "B. 石", "is not how option B reads"),
        (FRUIT, "AC", "several right answers, 'AC'"),
        (FRUIT, ["A", "C"], "several right answers"),
        (FRUIT, 4, "'4' is none of the choices A, B, C, D"),
        (FRUIT, -1, "none of the choices"),
        (FRUIT, "⑤", "none of the choices"),
        (FRUIT, "铁矿", "none of the choices"),
        (FRUIT, None, "the answer is null"),
        (FRUIT, True, "the answer is true"),
        (["铁", "铁"], "铁", "the text of the options A, B"),
        (["铁"], "A", "a question with 1 options"),
        (["铁", None], "A", "option B is null"),
        (["铁", ["石"], {"a": [1]}, 7.5], "D", None),
        ("铁", "A", "`choices` is '铁'"),
        (7, "A", "`choices` is '7'"),
        ([str(number) for number in range(27)], "A", "a question with 27 options"),
    ],
)
def test_what_could_mean_two_things_or_none_is_refused(choices: Any, answer: Any, said: str | None) -> None:
    if said is None:
        assert letter_of(answer, options_of({"choices": choices})) == "D"
        return
    with pytest.raises(DataError) as raised:
        letter_of(answer, options_of({"choices": choices}))
    assert said in raised.value.message
    assert raised.value.next_step


@pytest.mark.parametrize("other", ["3", "Earth", "D"])
def test_a_tables_number_is_no_text_where_other_rows_count(other: str) -> None:
    rows = [
        {"question": "Which planet?", "A": "Mars", "B": "Venus", "C": "Pluto", "D": "Earth", "answer": other},
        {"question": "How many roots?", "A": "3", "B": "0", "C": "1", "D": "2", "answer": "2"},
    ]
    if other != "3":
        assert items_from_rows(rows, "choice", "t.csv")[1].references == ["D"]
        return
    with pytest.raises(DataError, match="row 2: the answer 2 is the text of option D and the index of C"):
        items_from_rows(rows, "choice", "t.csv")


def test_a_conversations_own_answer_is_a_letter_too() -> None:
    def references(said: str) -> object:
        turns = [{"role": "user", "content": str(TEXTS)}, {"role": "assistant", "content": said}]
        return items_from_rows([{"messages": turns, "choices": TEXTS}], "choice", "t")[0].references

    assert references("D. 铜") == references("<think>\n？\n</think>\n\n(d)") == ["D"]
    with pytest.raises(DataError, match="'我选铜' is none of the choices"):
        references("我选铜")

"""How answers of the small model are scored."""

import pytest

from scripts.demo_model.scoring import exact_match, rouge_l


@pytest.mark.parametrize(
    ("answer", "reference", "points"),
    [
        ("129 元。", "129元", 1.0),
        ("１２９元", "129元", 1.0),
        ("-3", "3", 0.0),
        ("3.5", "35", 0.0),
        ("巴黎", "里昂", 0.0),
    ],
)
def test_exact_match_ignores_only_form(answer: str, reference: str, points: float):
    assert exact_match(answer, [reference]) == points


def test_rouge_l_is_the_character_f1_of_the_longest_common_subsequence():
    assert rouge_l("今天下雨", "今天不下雨") == pytest.approx(2 * 4 / 9)
    assert rouge_l("", "今天") == 0.0

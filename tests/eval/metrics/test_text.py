"""Robust comparison and what is reported beside ROUGE."""

import time

import pytest

from eval.metrics.text import (
    copy_rate,
    language_switch,
    length_ratio,
    normalize,
    repetition,
    to_simplified,
    traditional_share,
    zh_em,
    zh_f1,
)


@pytest.mark.parametrize(
    ("prediction", "answer", "em"),
    [
        ("《战国无双３》。", "战国无双3", 1),
        ("3.5%", "3.5％", 1),
        ("3.5", "35", 0),
        ("-5 °C", "5°C", 0),
        ("（−5）", "-5", 1),
        ("2024-05-01", "20240501", 1),
        ("臺北市", "台北市", 1),
        ("", "", 0),
    ],
)
def test_exact_match_ignores_style(prediction: str, answer: str, em: int) -> None:
    assert zh_em(prediction, [answer]) == em


def test_f1_is_a_bag_of_characters() -> None:
    assert zh_f1("上海，北京", ["北京、上海"]) == 1.0
    assert zh_f1("答案是北京", ["北京"]) == pytest.approx(4 / 7)
    assert zh_f1("臺北", ["台北"], simplify=False) == 0.5
    assert zh_f1("", ["北京"]) == 0.0


def test_summary_figures() -> None:
    assert length_ratio("一二三", "一二 三四 五六") == 0.5
    assert copy_rate("今天天气很好", "据报道今天天气很好，适合出游") == 1.0
    assert copy_rate("完全不同的话语", "据报道今天天气很好") == 0.0
    assert repetition("今天天气很好") == 0.0
    assert repetition("哈" * 20) > 0.9


@pytest.mark.parametrize(
    ("prediction", "reference", "switched"),
    [
        ("The capital is Beijing", "北京", True),
        ("首都是北京", "Beijing", True),
        ("NBA", "美国职业篮球联赛NBA", True),
        ("2010", "北京", False),
        ("用Python写的程序", "Python程序", False),
    ],
)
def test_language_switch(prediction: str, reference: str, switched: bool) -> None:
    assert language_switch(prediction, reference) is switched


@pytest.mark.parametrize(
    ("text", "simplified"),
    [
        ("臺灣的電腦與網路", "台湾的电脑与网路"),
        ("乾坤倒轉，衣服乾了", "乾坤倒转，衣服干了"),
        ("今天天气很好，3.5%，ok", "今天天气很好，3.5%，ok"),
        ("", ""),
    ],
)
def test_traditional_becomes_simplified(text: str, simplified: str) -> None:
    assert to_simplified(text) == simplified


@pytest.mark.parametrize(
    ("text", "share"), [("電腦與網路", 1.0), ("电脑与网络", 0.0), ("天地人 ABC", 0.0), ("电腦", 0.5)]
)
def test_share_of_traditional_characters(text: str, share: float) -> None:
    assert traditional_share(text) == share


def test_marks_without_end_on_one_letter_are_read_in_time() -> None:
    began = time.process_time()
    for marks in ("\u0301\u0316", "\u0f73\u0f75", "\uff9e\u0316"):
        assert normalize("e" + marks * 40_000)
    assert time.process_time() - began < 5

"""Numbers, texts, marked differences and the geometry of the pictures."""

import re
import string

import pytest

from eval.report import figures
from eval.report.charts import axis, forest
from eval.report.differences import mark_differences, shortened
from eval.report.strings import STRINGS, say
from eval.statistics.interval import Interval


def test_numbers() -> None:
    assert figures.signed(1.46) == "+1.5"
    assert figures.signed(-0.04) == "0.0"
    assert figures.points(None) == "–"
    assert figures.percent(97.449) == "97.4 %"
    assert figures.bounds(Interval(-2.64, 0.01, 0.95, "tango")) == "[-2.6, 0.0]"
    assert figures.p_value(0.0004) == "< 0.001"
    assert figures.p_value(0.0167) == "0.017"


def test_both_languages_use_the_same_values() -> None:
    def names(template: str) -> set[str]:
        found = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        # The unit belongs to the English plural; Chinese has none.
        return {{"margin_points": "margin", "gated": "tasks"}.get(name, name) for name in found}

    for key, (english, chinese) in STRINGS.items():
        assert names(english) == names(chinese), key
        assert english, key
        assert re.search(r"[\u4e00-\u9fff]", chinese), key


def test_plural_of_a_margin() -> None:
    values = {"tasks": 3, "delta": -1.5, "lower": -2.0, "upper": -1.1}
    assert "the 1 point allowed" in say("gate.mean.fail", "en", margin=1.0, **values)
    assert "the 1.5 points allowed" in say("gate.mean.fail", "en", margin=1.5, **values)


def test_missing_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="delta"):
        say("gate.mean.fail", "en", tasks=3, margin=1.0)


def test_differences_are_marked_by_character_and_by_latin_word() -> None:
    base, tuned = mark_differences("北京市海淀区", "北京海淀区")
    assert [piece.text for piece in base if piece.differs] == ["市"]
    assert [piece.text for piece in tuned if piece.differs] == []
    base, tuned = mark_differences("in 1994", "in 1995")
    assert [piece.text for piece in tuned if piece.differs] == ["1995"]
    assert mark_differences("", "北京")[0] == []


def test_long_answers_are_cut_for_display() -> None:
    assert shortened("长" * 2000) == "长" * 599 + "…"
    base, _ = mark_differences("长" * 5000, "短")
    assert len("".join(piece.text for piece in base)) == 600


def test_axis_holds_everything_with_few_round_ticks() -> None:
    scale = axis([-13.2, 5.9])
    assert scale.ticks == (-10.0, -5.0, 0.0, 5.0)
    assert 0 < scale.percent(-13.2) < scale.percent(0) < scale.percent(5.9) < 100
    assert 0.0 in axis([3.0, 20.0]).ticks
    assert len(axis([0.0, 0.0]).ticks) >= 2
    assert len(axis([-90.0, 90.0]).ticks) <= 7


def test_no_picture_of_nothing() -> None:
    assert forest([]) is None

"""Figures in the sentences of a report."""

import pytest

from eval.report.words import ENGLISH


def test_plural_of_a_margin() -> None:
    values = {"groups": 3, "delta": -1.5, "lower": -2.0, "upper": -1.1}
    assert "the 1 point allowed" in ENGLISH.say("gate.mean.fail", margin=1.0, **values)
    assert "the 1.5 points allowed" in ENGLISH.say("gate.mean.fail", margin=1.5, **values)


def test_missing_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="delta"):
        ENGLISH.say("gate.mean.fail", groups=3, margin=1.0)

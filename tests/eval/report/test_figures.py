"""How numbers are written."""

from eval.report import figures
from eval.statistics.interval import Interval


def test_numbers() -> None:
    assert figures.signed(1.46) == "+1.5"
    assert figures.signed(-0.04) == "0.0"
    assert figures.points(None) == "–"
    assert figures.percent(97.449) == "97.4 %"
    assert figures.bounds(Interval(-2.64, 0.01, 0.95, "tango")) == "[-2.6, 0.0]"
    assert figures.p_value(0.0004) == "< 0.001"
    assert figures.p_value(0.0167) == "0.017"

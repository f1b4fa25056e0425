"""The geometry of the pictures."""

from eval.report.charts import axis, forest


def test_axis_holds_everything_with_few_round_ticks() -> None:
    scale = axis([-13.2, 5.9])
    assert scale.ticks == (-10.0, -5.0, 0.0, 5.0)
    assert 0 < scale.percent(-13.2) < scale.percent(0) < scale.percent(5.9) < 100
    assert 0.0 in axis([3.0, 20.0]).ticks
    assert len(axis([0.0, 0.0]).ticks) >= 2
    assert len(axis([-90.0, 90.0]).ticks) <= 7


def test_no_picture_of_nothing() -> None:
    assert forest([]) is None

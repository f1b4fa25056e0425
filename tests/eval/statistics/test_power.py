"""How small a drop shows."""

import pytest

from eval.statistics.power import minimum_detectable_change, minimum_detectable_drop


@pytest.mark.parametrize(("points", "n"), [(1, 7842), (2, 1955), (3, 865), (5, 307)])
def test_drops_that_show_at_ten_percent_discordance(points: int, n: int) -> None:
    assert minimum_detectable_drop(n, 0.10) == pytest.approx(points / 100, rel=2e-3)


def test_a_hundred_samples_show_no_less_than_eight_points() -> None:
    assert 0.08 < minimum_detectable_drop(100, 0.10) < 0.09


def test_without_flips_six_would_still_be_needed() -> None:
    assert minimum_detectable_drop(100, 0.0) == pytest.approx(0.06)
    assert minimum_detectable_drop(3, 0.0) == 1.0


def test_minimum_detectable_change() -> None:
    assert minimum_detectable_change(0.01) == pytest.approx(0.0280159, abs=1e-6)

"""Sample sizes, and what is kept of the base."""

import pytest

from eval.statistics.forgetting import (
    backward_transfer,
    relative_forgetting_percent,
    retention_above_chance_percent,
    retention_percent,
)
from eval.statistics.power import minimum_detectable_change, minimum_detectable_drop, samples_needed

BASE, TUNED = [0.62, 0.55, 0.71], [0.60, 0.50, 0.72]


@pytest.mark.parametrize(("points", "n"), [(1, 7842), (2, 1955), (3, 865), (5, 307)])
def test_samples_needed_at_ten_percent_discordance(points: int, n: int) -> None:
    assert samples_needed(points / 100, 0.10) == n
    assert minimum_detectable_drop(n, 0.10) == pytest.approx(points / 100, rel=2e-3)


def test_a_hundred_samples_show_no_less_than_eight_points() -> None:
    assert 0.08 < minimum_detectable_drop(100, 0.10) < 0.09


def test_without_flips_six_would_still_be_needed() -> None:
    assert minimum_detectable_drop(100, 0.0) == pytest.approx(0.06)
    assert minimum_detectable_drop(3, 0.0) == 1.0


def test_a_drop_larger_than_the_discordance_is_refused() -> None:
    with pytest.raises(ValueError, match="discordance"):
        samples_needed(0.2, 0.1)


def test_minimum_detectable_change() -> None:
    assert minimum_detectable_change(0.01) == pytest.approx(0.0280159, abs=1e-6)


def test_retention() -> None:
    kept = [retention_percent(b, t) for b, t in zip(BASE, TUNED, strict=True)]
    assert kept == pytest.approx([96.774, 90.909, 101.408], abs=5e-4)
    assert retention_percent(0.0, 0.1) is None


def test_retention_above_chance_is_refused_near_chance() -> None:
    assert retention_above_chance_percent(0.65, 0.45, 0.25, 0.02) == pytest.approx(50.0)
    assert retention_above_chance_percent(0.28, 0.26, 0.25, 0.02) is None
    assert retention_above_chance_percent(0.20, 0.26, 0.25, 0.0) is None


def test_relative_forgetting_and_backward_transfer() -> None:
    assert relative_forgetting_percent(BASE, TUNED) == pytest.approx(3.6361, abs=5e-5)
    assert backward_transfer(BASE, TUNED) == pytest.approx(-0.02)
    with pytest.raises(ValueError, match="above 0"):
        relative_forgetting_percent([0.0, 0.5], [0.1, 0.5])
    with pytest.raises(ValueError, match="one length"):
        backward_transfer([], [])

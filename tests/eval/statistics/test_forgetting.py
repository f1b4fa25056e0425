"""What is kept of the base."""

import pytest

from eval.statistics.forgetting import (
    relative_forgetting_percent,
    retention_above_chance_percent,
    retention_percent,
)

BASE, TUNED = [0.62, 0.55, 0.71], [0.60, 0.50, 0.72]


def test_retention() -> None:
    kept = [retention_percent(b, t) for b, t in zip(BASE, TUNED, strict=True)]
    assert kept == pytest.approx([96.774, 90.909, 101.408], abs=5e-4)
    assert retention_percent(0.0, 0.1) is None


def test_retention_above_chance_is_refused_near_chance() -> None:
    assert retention_above_chance_percent(0.65, 0.45, 0.25, 0.02) == pytest.approx(50.0)
    assert retention_above_chance_percent(0.28, 0.26, 0.25, 0.02) is None
    assert retention_above_chance_percent(0.20, 0.26, 0.25, 0.0) is None


def test_relative_forgetting() -> None:
    assert relative_forgetting_percent(BASE, TUNED) == pytest.approx(3.6361, abs=5e-5)
    with pytest.raises(ValueError, match="above 0"):
        relative_forgetting_percent([0.0, 0.5], [0.1, 0.5])
    with pytest.raises(ValueError, match="one length"):
        relative_forgetting_percent([], [])

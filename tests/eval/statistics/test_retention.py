"""The retention interval, and the ratio of paired proportions against a published example."""

import numpy as np
import pytest

from eval.statistics.retention import paired_ratio_interval, retention_interval
from tests.eval.statistics.test_change import answers


def test_published_example_of_21_children() -> None:
    """Fagerland, Lydersen and Laake 2014: 1 both, 1 gained, 7 lost of 21; (0.065, 0.907)."""
    ratio = paired_ratio_interval(1, 7, 1, 21)
    assert (round(ratio.lower, 3), round(ratio.upper, 3)) == (0.065, 0.907)


def test_no_flip_keeps_a_width() -> None:
    z2 = 1.959964**2
    ratio = paired_ratio_interval(500, 0, 0, 700)
    assert ratio.lower == pytest.approx(1 / (1 + z2 / 500), abs=1e-7)
    assert ratio.upper == pytest.approx(1 + z2 / 500, abs=1e-7)


def test_extremes_stay_in_range_and_a_base_of_nothing_is_refused() -> None:
    assert paired_ratio_interval(0, 10, 0, 20).lower == 0.0
    with pytest.raises(ValueError, match="without a right answer"):
        paired_ratio_interval(0, 0, 3, 10)


def test_retention_intervals_hold_their_estimate() -> None:
    base, tuned = answers(1000, 600, 60, 20)
    interval = retention_interval(base, tuned)
    assert interval is not None
    assert interval.lower < 560 / 600 < interval.upper
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=400)
    lower_scores = scores * rng.uniform(0.7, 1.05, size=400)
    kept = retention_interval(scores, lower_scores, np.arange(400) // 4)
    assert kept is not None
    assert kept.method == "bootstrap_bca"
    assert kept.lower < lower_scores.mean() / scores.mean() < kept.upper
    unchanged = retention_interval(scores, scores)
    assert unchanged is not None
    assert unchanged.lower < 1 < unchanged.upper
    assert retention_interval(np.zeros(5), np.ones(5)) is None

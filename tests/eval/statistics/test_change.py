"""The choice of interval and test."""

import numpy as np
import pytest

from eval.statistics.change import change_interval, measure_change
from eval.statistics.clustered import standard_error
from eval.statistics.tango import tango_interval


def answers(n: int, right: int, lost: int, gained: int) -> tuple[np.ndarray, np.ndarray]:
    """`right` right answers in base, the first `lost` of them lost; `gained` of the wrong ones gained."""
    base = np.r_[np.ones(right), np.zeros(n - right)]
    tuned = base.copy()
    tuned[:lost] = 0
    tuned[right : right + gained] = 1
    return base, tuned


def test_independent_answers_get_tango_and_mcnemar() -> None:
    base, tuned = answers(1000, 600, 25, 10)
    change = measure_change(base, tuned)
    assert (change.lost, change.gained, change.test) == (25, 10, "mcnemar_exact")
    assert change.p == pytest.approx(0.016674, abs=5e-7)
    assert change.discordance == pytest.approx(0.035)
    interval, expected = change_interval(base, tuned), tango_interval(25, 10, 1000)
    assert (interval.lower, interval.upper) == (expected.lower, expected.upper)


def test_passages_that_flip_whole_widen_everything() -> None:
    base, tuned = answers(1000, 600, 40, 0)
    passages = np.arange(1000) // 4
    alone, together = change_interval(base, tuned), change_interval(base, tuned, passages)
    assert together.method == "clustered_tango"
    assert (together.upper - together.lower) / (alone.upper - alone.lower) == pytest.approx(2, rel=0.1)
    change = measure_change(base, tuned, passages)
    assert change.test == "sign_flip_exact"
    assert change.p == pytest.approx(2 * 0.5**10)
    assert change.clusters == 250


def test_clustered_answers_without_a_flip_count_as_their_passages() -> None:
    base, tuned = answers(800, 500, 0, 0)
    interval = change_interval(base, tuned, np.arange(800) // 4)
    expected = tango_interval(0, 0, 200)
    assert (interval.lower, interval.upper) == (expected.lower, expected.upper)
    assert interval.upper > 0.018


def test_clustered_tango_is_near_the_clustered_normal_interval_for_many_flips() -> None:
    rng = np.random.default_rng(0)
    passages = np.repeat(np.arange(800), 4)
    ability = np.repeat(rng.uniform(0.2, 0.9, size=800), 4)
    base = (rng.uniform(size=3200) < ability).astype(float)
    tuned = (rng.uniform(size=3200) < ability + 0.05).astype(float)
    ours = change_interval(base, tuned, passages)
    mean, width = float((tuned - base).mean()), 1.959964 * standard_error(tuned - base, passages)
    assert ours.lower == pytest.approx(mean - width, abs=0.002)
    assert ours.upper == pytest.approx(mean + width, abs=0.002)


def test_other_scores_get_t_and_sign_flip() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(size=300)
    tuned = np.clip(base + rng.normal(-0.05, 0.1, size=300), 0, 1)
    change = measure_change(base, tuned)
    assert change.test == "sign_flip_monte_carlo"
    assert change.p < 0.001
    assert change_interval(base, tuned).method == "paired_t"
    assert change_interval(base, tuned, np.arange(300) // 3).method == "clustered_t"


def test_unchanged_fractions_keep_a_width() -> None:
    base = np.linspace(0.1, 0.9, 100)
    interval = change_interval(base, base.copy())
    assert interval.upper == pytest.approx(tango_interval(0, 0, 100).upper)

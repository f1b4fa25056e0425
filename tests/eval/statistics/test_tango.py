"""Tango's interval, against a published example and against its own definition."""

import math

import numpy as np
import pytest
from scipy import optimize

from eval.statistics.tango import tango_interval


def test_published_example_of_21_children() -> None:
    """Fagerland, Lydersen and Laake 2014: 1 both, 1 gained, 7 lost of 21; (-0.517, -0.026)."""
    difference = tango_interval(7, 1, 21)
    assert (round(difference.lower, 3), round(difference.upper, 3)) == (-0.517, -0.026)


def test_no_flip_keeps_a_width() -> None:
    z2 = 1.959964**2
    interval = tango_interval(0, 0, 700)
    assert interval.upper == pytest.approx(z2 / (700 + z2), abs=1e-7)
    assert interval.lower == pytest.approx(-interval.upper)


@pytest.mark.parametrize(("lost", "gained", "n"), [(25, 10, 1000), (3, 0, 40), (0, 4, 30), (12, 2, 50)])
def test_bounds_are_where_the_constrained_likelihood_puts_them(lost: int, gained: int, n: int) -> None:
    """The bound's statistic, with P(lost) found by maximising the likelihood numerically, equals the quantile."""
    interval = tango_interval(lost, gained, n)
    for delta, target in ((interval.lower, 1.959964), (interval.upper, -1.959964)):

        def minus_log_likelihood(p_lost: float, delta: float = delta) -> float:
            p_gained = p_lost + delta
            parts = ((lost, p_lost), (gained, p_gained), (n - lost - gained, 1 - p_lost - p_gained))
            return -sum(count * math.log(max(p, 1e-300)) for count, p in parts if count)

        low, high = max(0.0, -delta), (1 - delta) / 2
        p_lost = optimize.minimize_scalar(
            minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-13}
        ).x
        statistic = (gained - lost - n * delta) / math.sqrt(n * (2 * p_lost + delta - delta**2))
        assert statistic == pytest.approx(target, abs=2e-3)


def test_near_wald_for_many_samples_and_mirror_images() -> None:
    interval = tango_interval(2500, 1000, 100_000)
    error = math.sqrt((0.035 - 0.015**2) / 100_000)
    assert interval.lower == pytest.approx(-0.015 - 1.959964 * error, abs=1e-5)
    mirrored = tango_interval(1000, 2500, 100_000)
    assert mirrored.upper == pytest.approx(-interval.lower)


def test_extremes_stay_in_range() -> None:
    assert tango_interval(0, 5, 5).upper == pytest.approx(1.0)
    assert tango_interval(5, 0, 5).lower == pytest.approx(-1.0)


def test_coverage_of_a_small_discordance() -> None:
    rng = np.random.default_rng(1)
    hits, trials = 0, 400
    for _ in range(trials):
        lost, gained, _same = rng.multinomial(150, [0.04, 0.02, 0.94])
        interval = tango_interval(lost, gained, 150)
        hits += interval.lower <= -0.02 <= interval.upper
    assert 0.92 <= hits / trials <= 0.98


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        tango_interval(8, 5, 10)

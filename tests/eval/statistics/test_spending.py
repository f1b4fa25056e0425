"""Bounds of several looks, against published values and against simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from eval.statistics.spending import FARTHEST_Z, Spending, crossing_probabilities, spent


def bounds(fractions: Sequence[float], sizes: Sequence[float], alpha: float) -> list[float]:
    """One-sided bounds of all looks at once."""
    spending = Spending(alpha)
    return [spending.look(fraction, size) for fraction, size in zip(fractions, sizes, strict=True)]


def test_the_spending_function() -> None:
    assert spent(0.5, 0.05) == pytest.approx(0.005575, abs=1e-6)
    assert spent(1.0, 0.05) == pytest.approx(0.05)
    assert spent(2.0, 0.05) == pytest.approx(0.05)
    assert spent(0.0, 0.05) == 0.0


def test_half_of_the_error_is_kept_for_what_there_is_beyond_the_plan() -> None:
    assert spent(0.5, 0.05, most=3) == pytest.approx(spent(0.5, 0.025))
    assert [spent(t, 0.05, most=3) for t in (1, 2, 3, 4)] == pytest.approx([0.025, 0.0375, 0.05, 0.05])
    assert spent(0.8, 0.05, most=0.8) == 0.05


def test_what_was_spent_stays_spent_when_the_estimates_change() -> None:
    """Who counts less information at a later look spends nothing at it, and everything at the end all the same."""
    spending = Spending(0.05)
    first, second, last = (spending.look(*look) for look in ((0.9, 700, 1.2), (0.7, 1400, 2.0), (1.0, 2800, 1.0)))
    assert second == FARTHEST_Z
    assert sum(crossing_probabilities([first, second, last], [700, 1400, 2800])) == pytest.approx(0.05, abs=1e-5)


@pytest.mark.parametrize(
    ("looks", "published"),
    [
        # Lan-DeMets bounds like O'Brien and Fleming's, 0.025 one-sided, as gsDesign's `sfLDOF` has them.
        (2, [2.963, 1.969]),
        (3, [3.710, 2.511, 1.993]),
        (4, [4.333, 2.963, 2.359, 2.014]),
        (5, [4.877, 3.357, 2.680, 2.290, 2.031]),
    ],
)
def test_published_bounds(looks: int, published: list[float]) -> None:
    shares = [(k + 1) / looks for k in range(looks)]
    assert bounds(shares, shares, 0.025) == pytest.approx(published, abs=6e-4)


def test_the_classic_design_of_o_brien_and_fleming_spends_its_error() -> None:
    """Jennison and Turnbull 2000, table 2.3: C_B(5, 0.05) = 2.040, so the bounds are 2.040 sqrt(5 / k)."""
    sizes = [1, 2, 3, 4, 5]
    crossed = crossing_probabilities([2.040 * np.sqrt(5 / k) for k in sizes], sizes)
    assert sum(crossed) == pytest.approx(0.025, abs=1e-4)


def test_one_look_is_the_ordinary_quantile() -> None:
    assert bounds([1.0], [3000], 0.05) == pytest.approx([1.644854], abs=1e-6)


def test_what_was_not_spent_is_spent_at_the_end() -> None:
    sizes = [700, 900, 4000]
    shares = [0.175, 0.225, 1.0]
    assert sum(crossing_probabilities(bounds(shares, sizes, 0.05), sizes)) == pytest.approx(0.05, abs=1e-5)


def test_a_look_that_may_spend_nothing_cannot_be_passed() -> None:
    first, last = bounds([0.001, 1.0], [1, 1000], 0.05)
    assert first == FARTHEST_Z
    assert last == pytest.approx(1.645, abs=1e-3)


def test_unequal_looks_hold_their_error_in_simulation() -> None:
    sizes = np.array([700, 1400, 2100, 3300, 4000])
    z = bounds(sizes / 4000, sizes, 0.05)
    steps = np.random.default_rng(0).normal(size=(200_000, 5)) * np.sqrt(np.diff([0, *sizes]))
    paths = np.cumsum(steps, axis=1) / np.sqrt(sizes)
    assert (paths >= z).any(axis=1).mean() == pytest.approx(0.05, abs=0.0015)


def test_looks_must_grow() -> None:
    with pytest.raises(ValueError, match="looks must grow"):
        bounds([0.5, 1.0], [700, 700], 0.05)

"""The sign-flip test against McNemar's and against all patterns written out."""

import itertools

import numpy as np
import pytest
from scipy import stats

from eval.statistics.clustered import cluster_totals
from eval.statistics.p_values import mcnemar_exact
from eval.statistics.sign_flip import sign_flip_test


def by_hand(totals: np.ndarray) -> float:
    sums = [abs(np.dot(signs, totals)) for signs in itertools.product((1, -1), repeat=len(totals))]
    return float(np.mean([s >= abs(totals.sum()) - 1e-9 for s in sums]))


@pytest.mark.parametrize(("lost", "gained"), [(25, 10), (12, 5), (0, 6), (3, 3)])
def test_equals_mcnemar_for_independent_answers(lost: int, gained: int) -> None:
    result = sign_flip_test([-1] * lost + [1] * gained + [0] * 200)
    assert result.method == "exact"
    assert result.p == pytest.approx(mcnemar_exact(lost, gained), abs=1e-12)


def test_clusters_are_flipped_whole() -> None:
    differences = np.array([-1, -1, -1, 1, -1, -1, 0, 1, -1.0])
    clusters = [0, 0, 0, 1, 1, 2, 2, 3, 3]
    result = sign_flip_test(differences, clusters)
    assert result.p == pytest.approx(by_hand(cluster_totals(differences, clusters)))
    assert result.p > sign_flip_test(differences).p


def test_enumerates_fractions_of_few_clusters() -> None:
    totals = np.array([0.31, -0.2, 0.55, 0.123, 0.4])
    result = sign_flip_test(totals)
    assert (result.method, result.p) == ("exact", pytest.approx(by_hand(totals)))


def test_monte_carlo_is_seeded_and_near_the_normal_value() -> None:
    rng = np.random.default_rng(3)
    differences = rng.normal(0.05, 0.4, size=400)
    result = sign_flip_test(differences, seed=7)
    assert result.method == "monte_carlo"
    assert result == sign_flip_test(differences, seed=7)
    z = differences.sum() / np.sqrt(np.sum(differences**2))
    assert result.p == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.01)


def test_monte_carlo_never_says_zero() -> None:
    assert sign_flip_test(np.linspace(0.5, 0.9, 300), draws=999).p == pytest.approx(1 / 1000)


def test_nothing_changed() -> None:
    assert sign_flip_test(np.zeros(50)).p == 1.0

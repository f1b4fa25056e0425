"""Sign flips and the bootstrap."""

import itertools

import numpy as np
import pytest
from scipy import stats

from eval.statistics.bootstrap import paired_bootstrap, resampled_means
from eval.statistics.clustered import cluster_totals, standard_error
from eval.statistics.mcnemar import mcnemar_exact
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


def test_bootstrap_spread_is_the_standard_error() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(size=500)
    assert resampled_means(differences).std() == pytest.approx(standard_error(differences), rel=0.05)


def test_bootstrap_by_cluster_is_wider_when_passages_move_together() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(60), 5)
    differences = np.repeat(rng.normal(size=60), 5)
    alone, together = paired_bootstrap(differences), paired_bootstrap(differences, clusters)
    assert (together.upper - together.lower) / (alone.upper - alone.lower) == pytest.approx(np.sqrt(5), rel=0.15)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_of_unequal_clusters_agrees_with_the_clustered_error(method: str) -> None:
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 8, size=300)
    clusters = np.repeat(np.arange(300), sizes)
    differences = rng.normal(0.1, 0.3, size=len(clusters)) + np.repeat(rng.normal(0, 0.2, size=300), sizes)
    interval = paired_bootstrap(differences, clusters, method=method)
    width = 1.959964 * standard_error(differences, clusters)
    assert interval.lower == pytest.approx(differences.mean() - width, abs=0.1 * width)
    assert interval.upper == pytest.approx(differences.mean() + width, abs=0.1 * width)


def test_bca_agrees_with_scipy() -> None:
    differences = np.random.default_rng(2).exponential(size=80) - 0.8
    ours = paired_bootstrap(differences, seed=1)
    theirs = stats.bootstrap(
        (differences,), np.mean, method="BCa", n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.lower == pytest.approx(theirs.low, abs=0.01)
    assert ours.upper == pytest.approx(theirs.high, abs=0.015)


def test_bootstrap_repeats_with_its_seed_and_has_no_width_without_change() -> None:
    differences = np.random.default_rng(2).normal(size=50)
    assert paired_bootstrap(differences, seed=4) == paired_bootstrap(differences, seed=4)
    same = paired_bootstrap(np.zeros(50))
    assert (same.lower, same.upper) == (0.0, 0.0)

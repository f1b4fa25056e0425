"""The bootstrap, against the clustered error and against scipy's."""

import numpy as np
import pytest
from scipy import stats

from eval.statistics.bootstrap import paired_bootstrap, resampled_means
from eval.statistics.clustered import standard_error


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


def test_bootstrap_of_unequal_clusters_agrees_with_the_clustered_error() -> None:
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 8, size=300)
    clusters = np.repeat(np.arange(300), sizes)
    differences = rng.normal(0.1, 0.3, size=len(clusters)) + np.repeat(rng.normal(0, 0.2, size=300), sizes)
    interval = paired_bootstrap(differences, clusters)
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

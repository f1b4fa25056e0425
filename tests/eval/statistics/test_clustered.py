"""Standard errors, naive and clustered: published or hand-checked values."""

import pytest

from eval.statistics.clustered import cluster_totals, standard_error

SCORES = [1, 1, 1, 0, 0, 0, 1, 0, 1]
CLUSTERS = ["a", "a", "a", "b", "b", "b", "c", "c", "c"]


def test_standard_error_naive_and_clustered() -> None:
    assert standard_error(SCORES) == pytest.approx(0.175682, abs=5e-7)
    assert standard_error(SCORES, CLUSTERS) == pytest.approx(0.293972, abs=5e-7)


def test_clusters_of_one_are_no_clusters() -> None:
    assert standard_error(SCORES, range(9)) == pytest.approx(standard_error(SCORES))


def test_cluster_totals_and_their_complaints() -> None:
    assert cluster_totals(SCORES, CLUSTERS).tolist() == [3, 0, 2]
    with pytest.raises(ValueError, match="2 clusters for 9 samples"):
        cluster_totals(SCORES, ["a", "b"])
    with pytest.raises(ValueError, match="two clusters"):
        standard_error(SCORES, ["a"] * 9)

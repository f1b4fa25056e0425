"""Paired differences, clustered errors, McNemar, Holm: published or hand-checked values."""

import numpy as np
import pytest

from eval.statistics.clustered import cluster_totals, standard_error
from eval.statistics.holm import holm
from eval.statistics.interval import one_sided, two_sided_z
from eval.statistics.mcnemar import mcnemar_exact
from eval.statistics.paired import paired_difference

SCORES = [1, 1, 1, 0, 0, 0, 1, 0, 1]
CLUSTERS = ["a", "a", "a", "b", "b", "b", "c", "c", "c"]


def flips(n: int, lost: int, gained: int) -> tuple[np.ndarray, np.ndarray]:
    base, tuned = np.zeros(n), np.zeros(n)
    base[:lost] = 1
    tuned[lost : lost + gained] = 1
    return base, tuned


@pytest.mark.parametrize(
    ("lost", "gained", "p"),
    [(25, 10, 0.016674), (12, 5, 0.143463), (40, 20, 0.013489), (0, 6, 0.031250), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_exact(lost: int, gained: int, p: float) -> None:
    assert mcnemar_exact(lost, gained) == pytest.approx(p, abs=5e-7)
    assert mcnemar_exact(gained, lost) == mcnemar_exact(lost, gained)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="lost -1"):
        mcnemar_exact(-1, 3)


def test_paired_difference_of_a_thousand_answers() -> None:
    result = paired_difference(*flips(1000, 25, 10))
    assert result.difference == pytest.approx(-0.015)
    assert result.standard_error == pytest.approx(0.005900, abs=5e-7)
    assert result.interval.lower == pytest.approx(-0.026564, abs=5e-7)
    assert result.interval.upper == pytest.approx(-0.003436, abs=5e-7)


def test_students_quantile_is_wider_and_counts_clusters() -> None:
    normal = paired_difference(np.zeros(9), SCORES, CLUSTERS)
    student = paired_difference(np.zeros(9), SCORES, CLUSTERS, quantile="t")
    # Two degrees of freedom for three clusters: 4.302653.
    assert student.interval.upper - student.difference == pytest.approx(4.302653 * 0.293972, abs=1e-5)
    assert normal.interval.upper < student.interval.upper


def test_paired_difference_refuses_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="one length"):
        paired_difference([1, 0], [1])


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


def test_holm() -> None:
    assert holm([0.001, 0.02, 0.03, 0.2]) == pytest.approx([0.004, 0.06, 0.06, 0.2])
    assert holm([0.2, 0.001, 0.03, 0.02]) == pytest.approx([0.2, 0.004, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_quantiles() -> None:
    assert two_sided_z(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert two_sided_z(one_sided(0.95)) == pytest.approx(1.644854, abs=1e-6)
    with pytest.raises(ValueError, match="between 0 and 1"):
        two_sided_z(95)

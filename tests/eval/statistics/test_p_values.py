"""McNemar and Holm: published or hand-checked values."""

import pytest

from eval.statistics.p_values import holm, mcnemar_exact


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


def test_holm() -> None:
    assert holm([0.001, 0.02, 0.03, 0.2]) == pytest.approx([0.004, 0.06, 0.06, 0.2])
    assert holm([0.2, 0.001, 0.03, 0.02]) == pytest.approx([0.2, 0.004, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []

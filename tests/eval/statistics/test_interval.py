"""The quantiles of intervals."""

import pytest

from eval.statistics.interval import one_sided, two_sided_t, two_sided_z


def test_quantiles() -> None:
    assert two_sided_z(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert two_sided_z(one_sided(0.95)) == pytest.approx(1.644854, abs=1e-6)
    # Two degrees of freedom for three clusters.
    assert two_sided_t(0.95, 2) == pytest.approx(4.302653, abs=1e-6)
    with pytest.raises(ValueError, match="between 0 and 1"):
        two_sided_z(95)

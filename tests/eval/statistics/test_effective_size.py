"""How many independent samples clustered ones are worth."""

import numpy as np
import pytest

from eval.statistics.effective_size import design_effect, effective_size


def test_design_effect() -> None:
    differences = np.repeat([1.0, -1.0, 0.0, 1.0, 0.0, 0.0, -1.0, 1.0, 1.0, 0.0], 3)
    passages = np.repeat(np.arange(10), 3)
    assert design_effect(differences, None) == 1.0
    assert design_effect(differences, passages) == pytest.approx(3 * 29 / 27)
    assert effective_size(differences, passages) == pytest.approx(30 / (3 * 29 / 27))
    assert effective_size(differences[:6], None) == 6.0

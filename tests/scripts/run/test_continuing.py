"""A run that goes on from another one passes only where it passes against both."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.run.continuing import report_origin, worst_exit_code
from tests.configs.run.test_predecessor import recipe


@pytest.mark.parametrize(
    ("codes", "worst"), [([0, 0], 0), ([0, 4], 4), ([4, 3], 3), ([3, 0], 3), ([0, None], 0), ([4, None], 4)]
)
def test_the_worse_of_two_verdicts_is_the_exit_code(codes: list[int | None], worst: int) -> None:
    compared: list[Any] = [
        None if code is None else SimpleNamespace(gate=SimpleNamespace(exit_code=code)) for code in codes
    ]
    assert worst_exit_code(*compared) == worst


def test_a_run_that_starts_from_its_model_has_one_verdict(tmp_path: Path) -> None:
    assert report_origin(None, recipe(tmp_path, "first"), None, tmp_path) is None  # type: ignore[arg-type]

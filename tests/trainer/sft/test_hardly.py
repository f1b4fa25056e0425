"""What is said of a run whose loss hardly fell, and of settings that change nothing in it."""

from __future__ import annotations

from typing import Any

import pytest

from configs.recipe.schema import TrainConfig
from trainer.sft.hardly import loss_warning
from trainer.sft.stage import idle_settings


def falling(first: float, last: float, steps: int = 60) -> list[dict[str, float]]:
    """A log whose loss goes from one value to the other in a curve, with evaluations between."""
    log: list[dict[str, float]] = []
    for i in range(steps):
        log.append({"step": i + 1, "loss": last + (first - last) * 0.93**i + 0.02 * (-1) ** i})
        if i % 20 == 19:
            log.append({"step": i + 1, "eval_loss": first})
    return log


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (13.6, 11.4, "still guesses"),
        (1.80, 1.79, "hardly fell"),
        (1.5, 2.6, "it rose"),
        (1.5, float("nan"), "diverged"),
    ],
)
def test_a_loss_that_does_not_fall_is_named_with_what_to_change(first: float, last: float, said: str) -> None:
    warning = loss_warning(falling(first, last))
    assert warning is not None
    assert said in warning
    assert "train.learning_rate" in warning


@pytest.mark.parametrize(("first", "last"), [(2.4, 0.8), (1.6, 1.4), (8.0, 1.2), (0.3, 0.29)])
def test_a_loss_that_falls_or_had_nowhere_to_fall_is_let_be(first: float, last: float) -> None:
    assert loss_warning(falling(first, last)) is None


def test_a_loss_by_probabilities_that_the_base_gave_has_nowhere_to_fall() -> None:
    assert loss_warning(falling(0.80, 0.79)) is not None
    assert loss_warning(falling(0.80, 0.79), soft=True) is None
    assert "it rose" in str(loss_warning(falling(0.80, 1.2), soft=True))


def test_a_few_steps_tell_nothing() -> None:
    assert loss_warning(falling(13.6, 13.5, steps=10)) is None
    assert loss_warning([]) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, []),
        ({"scheduler": "constant"}, []),
        ({"scheduler": "constant", "warmup_ratio": 0.1}, ["train.warmup_ratio=0.1"]),
        ({"scheduler": "constant_with_warmup", "warmup_ratio": 0.1}, []),
        ({"early_stopping": 2}, []),
        ({"early_stopping": 3}, ["train.early_stopping=3 stops nothing: the run has 4 evaluations in 100 steps"]),
        ({"early_stopping": 3, "eval_steps": 1 / 12}, []),
        ({"keep_best": True, "eval_steps": 50}, []),
        ({"keep_best": True, "eval_steps": 500}, ["train.keep_best has nothing to choose from"]),
        ({"keep_best": True, "eval_steps": 50, "save_steps": 10}, ["train.save_steps=10 is not used"]),
        ({"micro_batch": 1}, ["train.micro_batch=1 is not used"]),
        ({"micro_batch": 1, "plan": "manual"}, []),
        ({"epochs": 2, "max_steps": 100}, []),
        ({"epochs": 1, "max_steps": 100}, ["train.max_steps=100 goes over the rows 2.0 times"]),
    ],
)
def test_settings_that_change_nothing_are_named(settings: dict[str, Any], said: list[str]) -> None:
    warnings = [*idle_settings(TrainConfig(**settings), 100, 50)]
    assert len(warnings) == len(said)
    assert all(one in warning for one, warning in zip(said, warnings, strict=True))

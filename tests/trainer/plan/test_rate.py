"""The rule for learning rates that are wrong by an order."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.model.known_shapes import known_config
from configs.model.mixed_shape import shape_of
from configs.model.shape import ModelShape
from configs.recipe.load import load_config
from configs.recipe.recipes import recipes
from configs.recipe.schema import TrainConfig
from trainer.plan.rate import model_rate_warning, rate_warning

SHAPE = {name: ModelShape.of(known_config(f"Qwen/Qwen3-{name}") or {}) for name in ("0.6B", "14B")}


@pytest.mark.parametrize("name", [name for name in recipes() if name != "demo-forgets"])
def test_no_recipe_is_warned_of(name: str) -> None:
    config = load_config(name)
    rows = 8 if config.train.rows_per_step == "auto" else config.train.rows_per_step
    known = known_config(config.model)
    if known is None:
        assert model_rate_warning(config.train, Path(config.model), rows) is None
    else:
        assert rate_warning(config.train, shape_of(known), rows) is None


@pytest.mark.parametrize(
    ("model", "train", "words"),
    [
        ("14B", {"learning_rate": 1e-3}, ("50 times", "diverges", "learning_rate=2e-05")),
        ("0.6B", {"learning_rate": 1e-6}, ("1/100 of", "hardly learns", "learning_rate=0.0001")),
        ("14B", {"learning_rate": 2e-4, "method": "full"}, ("full fine-tuning", "learning_rate=2e-06")),
    ],
)
def test_a_rate_that_is_far_off_is_named_with_the_usual_one(model: str, train: dict, words: tuple[str, ...]) -> None:
    said = rate_warning(TrainConfig(**train), SHAPE[model], 8)
    assert said is not None
    for word in words:
        assert word in said


@pytest.mark.parametrize("rate", [1e-4, 5e-5, 5e-6])
def test_a_rate_that_others_use_is_let_be(rate: float) -> None:
    assert rate_warning(TrainConfig(learning_rate=rate), SHAPE["14B"], 8) is None


def test_more_rows_a_step_take_a_higher_rate_and_other_optimizers_have_no_rule() -> None:
    train = TrainConfig(learning_rate=2.5e-4)
    assert rate_warning(train, SHAPE["14B"], 8)
    assert rate_warning(train, SHAPE["14B"], 64) is None
    assert rate_warning(TrainConfig(learning_rate=0.1, optimizer="sgd"), SHAPE["14B"], 8) is None


def test_a_rate_that_the_plan_raises_for_more_rows_is_judged_before_that() -> None:
    half = TrainConfig(learning_rate=1e-5, rows_per_step="auto")
    assert rate_warning(half, SHAPE["14B"], 128) is None
    low = TrainConfig(learning_rate=1e-6, rows_per_step="auto")
    assert rate_warning(low, SHAPE["14B"], 128) == rate_warning(low, SHAPE["14B"], 8)

"""Decisions of the plan that change the recipe's meaning: stated, computed, and left alone where no rule is known."""

from __future__ import annotations

import math

import pytest

from configs.machine.gpus import GPUS, Device
from configs.recipe.schema import LoraConfig, TrainConfig
from scripts.bench.calibrate_fit import SHAPES
from trainer.plan.candidates import choose
from trainer.plan.layout import choose_learning_rate, make_plan, no_fp8, precision_warning

CPU = Device("CPU", 16.0)
H100 = GPUS["h100-80gb"]


@pytest.mark.parametrize("rows", [2, 16, 32, 128])
def test_rate_goes_with_the_square_root_of_the_rows_that_auto_takes(rows: int) -> None:
    rate, why = choose_learning_rate(TrainConfig(rows_per_step="auto", learning_rate=2e-5), rows)
    assert rate == pytest.approx(2e-5 * math.sqrt(rows / 8))
    assert "2205.10287" in why
    assert f"sqrt({rows} / 8" in why


def test_rate_is_the_recipes_at_eight_rows_and_where_rows_are_written() -> None:
    assert choose_learning_rate(TrainConfig(rows_per_step="auto"), 8) == (2e-5, "train.learning_rate")
    assert choose_learning_rate(TrainConfig(rows_per_step=64), 64) == (2e-5, "train.learning_rate")


@pytest.mark.parametrize("optimizer", ["sgd", "adafactor", "lion_8bit"])
def test_rate_stays_for_optimizers_without_a_rule(optimizer: str) -> None:
    rate, why = choose_learning_rate(TrainConfig(rows_per_step="auto", optimizer=optimizer), 32)
    assert rate == 2e-5
    assert optimizer in why


def test_plan_carries_rate_and_reason() -> None:
    train, lengths = TrainConfig(rows_per_step="auto", cuda_graphs="off"), [140] * 10_000
    layout = choose(train, LoraConfig(), SHAPES["14b"], lengths, GPUS["h100-80gb"])
    plan = make_plan(train, LoraConfig(), lengths, H100, layout)
    assert plan.rows_per_step > 8
    assert plan.learning_rate == pytest.approx(2e-5 * math.sqrt(plan.rows_per_step / 8))
    assert "Malladi" in plan.reasons["learning_rate"]
    assert f"at {plan.learning_rate:.3g}" in plan.summary()


def test_eight_bits_on_a_cpu_are_warned_of() -> None:
    assert "fp32" in (precision_warning(TrainConfig(precision="8bit"), CPU) or "")
    assert precision_warning(TrainConfig(precision="8bit"), H100) is None
    assert precision_warning(TrainConfig(precision="4bit"), CPU) is None
    assert precision_warning(TrainConfig(precision="8bit", method="full"), CPU) is None


@pytest.mark.parametrize("name", GPUS)
def test_eight_bits_are_refused_where_a_gpu_has_no_fp8_and_four_are_named(name: str) -> None:
    refused = no_fp8(TrainConfig(precision="8bit"), GPUS[name])
    capability = GPUS[name].capability
    assert capability is not None
    assert (refused is not None) == (capability < (8, 9))
    if refused:
        assert f"{name} has no FP8" in refused.message
        assert "train.precision=4bit" in refused.next_step
    for train in (TrainConfig(), TrainConfig(precision="4bit"), TrainConfig(precision="8bit", method="full")):
        assert no_fp8(train, GPUS[name]) is None
    assert no_fp8(TrainConfig(precision="8bit"), CPU) is None

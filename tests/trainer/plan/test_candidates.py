"""What several GPUs are predicted to take and to bring, for the rows that one would have trained in a step."""

from __future__ import annotations

import random

import pytest

from configs.machine.gpus import GPUS
from configs.recipe.schema import LoraConfig, TrainConfig
from scripts.bench.calibrate_fit import SHAPES
from trainer.plan.candidates import candidates, choose, draw_dealt
from trainer.plan.layout import count_steps, does_not_fit_each, make_plan

DRAWN = random.Random(0)
SHORT = [max(30, int(DRAWN.gauss(144, 60))) for _ in range(10_000)]
LONG = [2048] * 2000
H100 = GPUS["h100-80gb"]


@pytest.mark.parametrize("gpus", [2, 3, 8])
def test_a_step_has_the_same_rows_on_any_number_of_gpus(gpus: int) -> None:
    train = TrainConfig(rows_per_step=8)
    alone, _ = choose(train, LoraConfig(), SHAPES["14b"], LONG, H100)
    layout = choose(train, LoraConfig(), SHAPES["14b"], LONG, H100, gpus)
    plan = make_plan(train, LoraConfig(), LONG, H100, layout, gpus)
    assert (plan.rows_per_step, plan.learning_rate, plan.gpus) == (8, 2e-5, gpus)
    assert plan.micro_batch * plan.accumulation * gpus >= 8
    assert (plan.micro_batch * plan.accumulation - 1) * gpus < 8
    assert layout[0].steps == alone.steps == count_steps(len(LONG), plan, train)
    assert f"on each of {gpus} GPUs" in plan.summary()


def test_rows_that_fill_a_gpu_gain_nearly_all_of_a_second_one() -> None:
    train = TrainConfig(rows_per_step=8)
    one, two = (choose(train, LoraConfig(), SHAPES["14b"], LONG, H100, gpus)[0] for gpus in (1, 2))
    assert 1.9 < two.useful_tokens_per_s / one.useful_tokens_per_s < 2
    # Every GPU has the whole model.
    assert two.memory.weights_gb == one.memory.weights_gb
    few = [choose(train, LoraConfig(), SHAPES["14b"], SHORT, H100, gpus)[0] for gpus in (1, 2)]
    assert few[1].useful_tokens_per_s / few[0].useful_tokens_per_s < two.useful_tokens_per_s / one.useful_tokens_per_s


def test_slow_links_cost_time() -> None:
    train, lora = TrainConfig(rows_per_step=8, cuda_graphs="off"), LoraConfig(r=256)
    slow = GPUS["rtx4090"]
    assert slow.link_gb_s < H100.link_gb_s
    one, two = (
        min(candidates(train, lora, SHAPES["0.6b"], SHORT, slow, ["16bit"], 8, gpus), key=lambda c: c.step_s)
        for gpus in (1, 2)
    )
    sent_gb = 4 * SHAPES["0.6b"].adapter_parameters(256, lora.target_modules) / 1e9
    assert two.step_s > one.step_s / 2 + sent_gb / slow.link_gb_s


def test_auto_takes_more_rows_where_there_are_more_gpus() -> None:
    train = TrainConfig(rows_per_step="auto")
    rows = [choose(train, LoraConfig(), SHAPES["14b"], SHORT, H100, gpus)[0].rows_per_step for gpus in (1, 2)]
    assert rows[1] >= rows[0]


def test_more_gpus_than_rows_are_said() -> None:
    plan = make_plan(TrainConfig(rows_per_step=2), LoraConfig(), LONG, H100, gpus=4)
    assert "2 of them have none" in plan.reasons["gpus"]


def test_the_gpu_with_the_most_tokens_sets_the_time() -> None:
    lengths = [100] * 7 + [1000]
    batches = draw_dealt(lengths, 4, 1, 8, 2, padding_free=True)
    # The long row goes to one GPU, with three of the short ones: rows are dealt out evenly.
    assert batches.tokens == batches.longest_tokens == 1300
    assert sorted(set(batches.drawn)) == [400, 1300]


def test_a_model_that_does_not_fit_one_gpu_is_not_trained_on_two() -> None:
    small, train = GPUS["rtx4090"], TrainConfig(rows_per_step=8)
    layout, _ = choose(train, LoraConfig(), SHAPES["14b"], SHORT, small, 2)
    refused = does_not_fit_each(layout, train, small)
    assert refused is not None
    assert "each of 2 rtx4090 has the whole model, which in 16bit needs" in refused.message
    assert "train.precision=8bit" in refused.next_step
    fits, _ = choose(TrainConfig(precision="4bit"), LoraConfig(), SHAPES["14b"], SHORT, small, 2)
    assert does_not_fit_each(fits, train, small) is None

"""The memory and time model: what was measured is reproduced, and more work never counts as less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configs.machine.gpus import GPUS, Device
from configs.recipe.schema import LoraConfig, TrainConfig
from scripts.bench.calibrate_fit import SHAPES, batches_of, cross_validate, fit, predict, setup_of, summary
from trainer.plan.candidates import ENOUGH_STEPS, candidates, choose, draw, fastest
from trainer.plan.estimate import (
    Batches,
    Setup,
    estimate_memory,
    estimate_time,
    load_calibration,
    loss_chunk,
    usable_gb,
)
from trainer.plan.layout import make_plan, predicted_layout

H100 = GPUS["h100-80gb"]
BIG = SHAPES["14b"]
ROWS = load_calibration().rows


@pytest.mark.parametrize(
    "row", ROWS, ids=[f"{r['shape']} {r['precision']} {r['checkpointing']} {r['layout']}" for r in ROWS]
)
def test_measured_rows_are_reproduced(row: dict) -> None:
    seen = predict(row, load_calibration().coefficients)
    assert seen.memory_error is None or abs(seen.memory_error) <= 0.10
    assert seen.time_error is None or abs(seen.time_error) <= 0.20


def test_sizes_that_were_never_fitted_are_predicted() -> None:
    # So it was measured, too: 4B and 8B were predicted from 14B and 0.6B before any of their rows was there.
    unseen = [row for row in ROWS if row["shape"] in ("4b", "8b")]
    fitted = fit([row for row in ROWS if row not in unseen])
    found = summary(predict(row, fitted) for row in unseen)
    assert found["rows"] == 16
    assert (found["memory_beyond_10_percent"], found["time_beyond_20_percent"]) == (0, 0)


def test_rows_held_out_are_predicted() -> None:
    # Of the recorded steps there are too few rows to leave a fifth out.
    held = cross_validate([row for row in ROWS if not row.get("recorded")])
    assert summary(held)["memory_max"] <= 0.10
    # Two in 4 bits, of which there are few: without some of them their host's time is taken for that of 16 bits.
    # Two more by two thousandths: eight short rows that are not recorded, which the processor alone decides.
    known = {("4b", "2x4x1024"), ("14b", "1x16xshort"), ("0.6b", "1x8xshort"), ("8b", "1x8xshort")}
    beyond = {(r.row["shape"], r.row["layout"]) for r in held if abs(r.time_error or 0) > 0.20}
    assert beyond <= known
    assert max(abs(r.time_error or 0) for r in held) <= 0.32


def test_rows_attended_one_by_one_cost_the_host_time_only() -> None:
    setup, together = Setup(SHAPES["0.6b"], checkpointing="off"), Batches.uniform(32, 138)
    one_by_one = replace(together, apart=32)
    assert estimate_time(setup, one_by_one, H100).host_s > 1.5 * estimate_time(setup, together, H100).host_s
    assert estimate_time(setup, one_by_one, H100).gpu_s == estimate_time(setup, together, H100).gpu_s
    assert estimate_memory(setup, one_by_one, H100) == estimate_memory(setup, together, H100)


def test_fit_finds_the_coefficients_that_made_the_rows() -> None:
    # A card twice as efficient and a host twice as slow must show in the fit, not be swallowed by the defaults.
    true = replace(load_calibration().coefficients, efficiency=0.8, host_layer_ms=11.0)
    made = []
    for shape in ("0.6b", "4b", "8b", "14b"):
        for checkpointing in ("off", "unsloth"):
            for batches in (
                Batches.uniform(8, 140),
                Batches.uniform(2, 2048),
                Batches.uniform(8, 2048),
                Batches.uniform(1, 500, 4),
            ):
                row = {
                    "shape": shape, "precision": "16bit", "checkpointing": checkpointing, "count": batches.count,
                    "tokens": batches.tokens, "longest_tokens": batches.longest_tokens, "pairs": batches.pairs,
                    "varying": False, "gpu": "h100-80gb",
                }  # fmt: skip
                seen = predict(row, true)
                made.append(row | {"step_s": seen.step_s, "reserved_gb": seen.reserved_gb})
    found = fit(made)
    assert found.efficiency == pytest.approx(0.8, rel=0.15)
    assert found.host_layer_ms == pytest.approx(11.0, rel=0.15)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("0.6b", 596_049_920), ("4b", 4_022_468_096), ("8b", 8_190_735_360), ("14b", 14_768_307_200)],
)
def test_parameters_are_those_of_the_published_models(name: str, parameters: int) -> None:
    assert SHAPES[name].parameters == parameters


@pytest.mark.parametrize("checkpointing", ["off", "unsloth", "on"])
@pytest.mark.parametrize("precision", ["16bit", "8bit", "4bit"])
def test_more_tokens_take_more_memory_and_no_less_time(precision: str, checkpointing: str) -> None:
    setup = Setup(BIG, precision, checkpointing)  # type: ignore[arg-type]
    peaks, times = [], []
    for length in (128, 512, 2048, 4096, 8192):
        batches = Batches.uniform(2, length)
        peaks.append(estimate_memory(setup, batches, H100).reserved_gb)
        times.append(estimate_time(setup, batches, H100).step_s)
    assert peaks == sorted(set(peaks))
    assert times == sorted(times)


def test_checkpointing_and_fewer_bits_save_memory() -> None:
    batches = Batches.uniform(2, 2048)

    def peak(precision: str, checkpointing: str) -> float:
        return estimate_memory(Setup(BIG, precision, checkpointing), batches, H100).reserved_gb  # type: ignore[arg-type]

    assert peak("16bit", "unsloth") < peak("16bit", "on") < peak("16bit", "off")
    assert peak("4bit", "off") < peak("8bit", "off") < peak("16bit", "off")


def test_a_card_too_small_for_the_embedding_keeps_it_in_main_memory() -> None:
    # Trained so: 10.5 GB on an H100 that was left 12.6 GB.
    setup, batches = Setup(BIG, "4bit", "unsloth"), Batches.uniform(1, 2048, 8)
    small = replace(H100, memory_gb=12.6)
    embedding_gb = 2 * BIG.vocabulary * BIG.hidden / 1e9
    roomy, tight = (estimate_memory(setup, batches, gpu) for gpu in (H100, small))
    assert roomy.weights_gb - tight.weights_gb == pytest.approx(embedding_gb)
    assert tight.needed_gb < usable_gb(small)
    tied = replace(BIG, tied=True)
    assert estimate_memory(replace(setup, shape=tied), batches, small).weights_gb == pytest.approx(
        estimate_memory(replace(setup, shape=tied), batches, H100).weights_gb
    )


def test_a_higher_rank_takes_more_memory() -> None:
    low, high = (estimate_memory(Setup(BIG, rank=r), Batches.uniform(2, 2048), H100).reserved_gb for r in (16, 128))
    assert high - low == pytest.approx(112 / 16 * 64.2e6 * 10 / 1e9, rel=0.05)


def test_loss_is_cut_into_chunks_above_its_budget() -> None:
    roomy = 80e9
    assert loss_chunk(1000, BIG, roomy) == 1000
    assert loss_chunk(4096, BIG, roomy) == 1024
    assert loss_chunk(1000, BIG, 1e9) < 1000


def test_a_slower_gpu_takes_longer_once_it_is_the_bottleneck() -> None:
    setup, batches = Setup(BIG, "4bit"), Batches.uniform(2, 2048)
    seconds = [estimate_time(setup, batches, GPUS[n]).step_s for n in ("h100-80gb", "a100-80gb", "rtx4090", "t4")]
    assert seconds == sorted(set(seconds))


def test_micro_batches_are_drawn_from_the_lengths() -> None:
    even = draw([100] * 64, 4, 2, padding_free=True)
    assert (even.tokens, even.longest_tokens, even.varying) == (400, 400, False)
    assert even.pairs == 4 * 100**2 / 2
    lengths = [50] * 90 + [500] * 10
    packed, padded = (draw(lengths, 4, 2, padding_free=p) for p in (True, False))
    assert packed.tokens == pytest.approx(4 * 95, rel=0.1)
    assert packed.tokens < padded.tokens
    assert packed.longest_tokens <= padded.longest_tokens == 2000


def test_candidates_keep_the_rows_of_a_step() -> None:
    found = candidates(TrainConfig(), LoraConfig(), BIG, [140] * 1000, H100, ["16bit", "4bit"], 12)
    assert {c.micro_batch for c in found} == {1, 2, 3, 4, 6, 12}
    assert len([c for c in found if not c.kept_layers]) == 6 * 2 * 3
    assert {c.rows_per_step for c in found} == {12}


def test_auto_takes_the_fastest_that_fits() -> None:
    train, lengths = TrainConfig(), [140] * 10_000
    best, why = choose(train, LoraConfig(), BIG, lengths, H100)
    assert (best.micro_batch, best.checkpointing) == (8, "off")
    assert "tokens/s" in why
    assert best.memory.needed_gb <= usable_gb(H100)
    long, _ = choose(train, LoraConfig(), BIG, [4096] * 1000, H100)
    assert long.fits
    assert long.micro_batch < 8


def test_auto_rows_are_more_but_leave_enough_steps() -> None:
    train = TrainConfig(rows_per_step="auto", epochs=2, cuda_graphs="off")
    many, _ = choose(train, LoraConfig(), BIG, [140] * 10_000, H100)
    eight, _ = choose(TrainConfig(cuda_graphs="off"), LoraConfig(), BIG, [140] * 10_000, H100)
    assert many.rows_per_step > 8
    assert many.useful_tokens_per_s > 1.5 * eight.useful_tokens_per_s
    few, _ = choose(train, LoraConfig(), BIG, [140] * 500, H100)
    assert few.rows_per_step == 8
    assert few.steps >= ENOUGH_STEPS


def test_steps_are_recorded_where_the_host_is_the_slower() -> None:
    lengths = [140] * 10_000
    short, _ = choose(TrainConfig(), LoraConfig(), BIG, lengths, H100)
    assert short.recorded
    live, _ = choose(TrainConfig(cuda_graphs="off"), LoraConfig(), BIG, lengths, H100)
    assert not live.recorded
    assert short.step_s < 0.7 * live.step_s
    # What fills the recorded steps up takes memory too.
    assert short.memory.reserved_gb > live.memory.reserved_gb
    for precision in ("8bit", "4bit"):
        assert choose(TrainConfig(precision=precision), LoraConfig(), BIG, lengths, H100)[0].recorded  # type: ignore[arg-type]
    for train, lora, long in (
        (TrainConfig(), LoraConfig(), [9000] * 1000),
        (TrainConfig(method="full"), LoraConfig(), lengths),
        (TrainConfig(padding_free=False), LoraConfig(), lengths),
        (TrainConfig(), LoraConfig(dora=True), lengths),
        (TrainConfig(neftune_noise_alpha=5), LoraConfig(), lengths),
    ):
        assert not choose(train, lora, BIG, long, H100)[0].recorded
    assert not any(c.recorded for c in candidates(TrainConfig(), LoraConfig(), BIG, lengths, GPUS["t4"], ["16bit"], 8))


def test_layers_are_kept_from_recomputation_until_the_memory_is_full() -> None:
    card, lengths = replace(H100, memory_gb=24.0), [1024] * 1000
    found = candidates(TrainConfig(), LoraConfig(), BIG, lengths, card, ["4bit"], 8)
    for kept in [c for c in found if c.kept_layers]:
        alike = [c for c in found if (c.micro_batch, c.checkpointing) == (kept.micro_batch, kept.checkpointing)]
        without = next(c for c in alike if not c.kept_layers)
        assert kept.fits
        assert 0 < kept.kept_layers < BIG.layers
        assert kept.memory.needed_gb > without.memory.needed_gb
        assert kept.step_s < without.step_s
    best, _ = choose(TrainConfig(precision="4bit"), LoraConfig(), BIG, lengths, card)
    assert best.kept_layers > 0


def test_where_nothing_fits_the_smallest_is_named_with_its_size() -> None:
    lone = candidates(TrainConfig(), LoraConfig(), BIG, [140] * 100, GPUS["rtx4090"], ["16bit"], 8)
    assert fastest(lone) is None
    assert "GB" in lone[0].why_not
    best, why = choose(TrainConfig(), LoraConfig(), BIG, [140] * 100, GPUS["rtx4090"])
    assert not best.fits
    assert "nothing" in why


def test_plan_takes_the_predicted_layout_on_a_gpu_only() -> None:
    from configs.recipe.schema import RunConfig
    from tests.trainer.conftest import DEMO_MODEL

    config = RunConfig(name="x", model=str(DEMO_MODEL), data={"sources": [{"path": "rows.jsonl"}]})  # type: ignore[arg-type]
    gpu = replace(GPUS["h100-80gb"], name="NVIDIA H100 80GB HBM3")
    lengths = [100] * 200
    layout = predicted_layout(config, DEMO_MODEL, lengths, gpu)
    assert layout is not None
    plan = make_plan(config.train, config.lora, lengths, gpu, layout)
    assert (plan.micro_batch, plan.checkpointing, plan.rows_per_step) == (8, "off", 8)
    assert predicted_layout(config, DEMO_MODEL, lengths, Device("CPU", 16.0)) is None


def test_rows_of_the_table_say_where_they_were_measured() -> None:
    for row in ROWS:
        assert row["source"]
        assert setup_of(row).shape is SHAPES[row["shape"]]
        assert batches_of(row).tokens <= batches_of(row).longest_tokens

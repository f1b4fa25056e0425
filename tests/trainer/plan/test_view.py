"""The table of layouts: five that tell something, or all."""

from __future__ import annotations

from configs.machine.gpus import GPUS
from configs.recipe.schema import LoraConfig, TrainConfig
from tests.trainer.plan.test_serving import SHAPES
from trainer.plan.candidates import candidates, choose
from trainer.plan.view import SHOWN, render_table, telling

LENGTHS = [140, 600, 90] * 100
ROWS = candidates(TrainConfig(), LoraConfig(), SHAPES["14b"], LENGTHS, GPUS["h100-80gb"], ["16bit", "4bit", "8bit"], 8)


def test_five_of_many_are_shown_the_one_taken_among_them() -> None:
    taken = next(row for row in ROWS if row.precision == "16bit" and row.fits)
    few = telling(ROWS, taken)
    assert len(few) == SHOWN < len(ROWS)
    assert few[0] is taken
    assert {row.precision for row in few} == {"16bit", "4bit", "8bit"}
    fitting = [row for row in ROWS if row.fits and row.precision == "16bit"]
    assert min(fitting, key=lambda row: row.step_s) in few
    assert min(fitting, key=lambda row: row.memory.needed_gb) in few
    assert render_table(ROWS, taken, GPUS["h100-80gb"]).row_count == SHOWN
    assert render_table(ROWS, taken, GPUS["h100-80gb"], every=True).row_count == len(ROWS)


def test_what_does_not_fit_is_shown_by_its_leanest_layout() -> None:
    small = GPUS["rtx3060-12gb"]
    rows = candidates(TrainConfig(), LoraConfig(), SHAPES["14b"], LENGTHS, small, ["16bit", "4bit", "8bit"], 8)
    taken, _ = choose(TrainConfig(), LoraConfig(), SHAPES["14b"], LENGTHS, small)
    shown = telling(rows, taken)
    leanest = min((r for r in rows if r.precision == "16bit"), key=lambda r: r.memory.needed_gb)
    assert leanest in shown
    assert not leanest.fits
    assert any(row.fits for row in shown)

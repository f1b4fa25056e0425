"""What a card can serve, by precision."""

from __future__ import annotations

from configs.machine.gpus import GPUS
from configs.recipe.schema import ServeConfig
from scripts.bench.calibrate_fit import SHAPES
from trainer.plan.serving import gguf_gb, servable


def test_serving_precision_follows_the_card() -> None:
    serve = ServeConfig()
    assert servable(SHAPES["14b"], serve, GPUS["h100-80gb"], 500)["bf16"].why_not == ""
    on_4090 = servable(SHAPES["14b"], serve, GPUS["rtx4090"], 500)
    assert "do not fit into 22.8 GB" in on_4090["bf16"].why_not
    assert on_4090["fp8"].why_not == ""
    assert servable(SHAPES["0.6b"], serve, GPUS["t4"], 500)["bf16"].why_not == "no bf16 on this card"
    two = servable(SHAPES["14b"], ServeConfig(tensor_parallel_size=2), GPUS["rtx4090"], 500)
    assert two["bf16"].why_not == ""


def test_a_gguf_file_is_smaller_than_the_weights_by_its_bits() -> None:
    assert round(gguf_gb(SHAPES["14b"], "q8_0"), 1) == 15.7
    assert round(gguf_gb(SHAPES["14b"], "bf16"), 1) == 29.5

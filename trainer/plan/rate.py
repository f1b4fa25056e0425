"""Whether a learning rate is wrong for a model by an order of magnitude: a rule, since a short test costs a start.

The rates of this project's recipes, found by training (0.6B: 1e-4, 4B: 5e-5, 8B: 3e-5, 14B: 2e-5, the demo's 2.4
million parameters: 1.5e-3), follow 1e-4 x sqrt(0.6e9 / parameters) to within a third. Full fine-tuning takes about a
tenth of an adapter's rate (Schulman et al. 2025, "LoRA Without Regret").
"""

from __future__ import annotations

import math
from pathlib import Path

from configs.model.files import read_model_config
from configs.model.mixed_shape import MixedShape, shape_of
from configs.model.shape import ModelShape, UnknownShape
from configs.recipe.schema import TrainConfig
from trainer.plan.layout import RATE_ROWS

FAR = 8.0
"""A rate this many times above or below the usual one is taken for a slip."""


def usual_rate(train: TrainConfig, shape: ModelShape | MixedShape) -> float:
    """Peak learning rate that models of this size learn well with, at 8 rows a step and under Adam's kind."""
    adapter = 1e-4 * math.sqrt(0.6e9 / shape.parameters)
    return adapter / 10 if train.method == "full" else adapter


def rate_warning(train: TrainConfig, shape: ModelShape | MixedShape, rows_per_step: int) -> str | None:
    """What to say about a rate that is far from the usual one; None where it is near, or nothing is known."""
    if train.optimizer != "auto" and "adam" not in train.optimizer:
        return None
    # Under `auto` the recipe's rate is meant for 8 rows a step, and the plan itself raises it for more.
    rows = RATE_ROWS if train.rows_per_step == "auto" else max(rows_per_step, RATE_ROWS)
    usual = usual_rate(train, shape) * math.sqrt(rows / RATE_ROWS)
    times = train.learning_rate / usual
    if 1 / FAR < times < FAR:
        return None
    kind = "full fine-tuning" if train.method == "full" else "an adapter"
    how = f"{times:.0f} times" if times > 1 else f"1/{1 / times:.0f} of"
    ends = "forgets or diverges" if times > 1 else "hardly learns"
    return (
        f"train.learning_rate={train.learning_rate:g} is {how} what {kind} on a model of this size is usually trained "
        f"with, and a run that is so far off {ends}. Try train.learning_rate={_round(usual):g}"
    )


def model_rate_warning(train: TrainConfig, model: Path, rows_per_step: int) -> str | None:
    """The same for a model folder; None for a model whose size is not told by its config.json."""
    try:
        shape = shape_of(read_model_config(model))
    except UnknownShape:
        return None
    return rate_warning(train, shape, rows_per_step)


def _round(rate: float) -> float:
    """Two significant digits."""
    return float(f"{rate:.1e}")

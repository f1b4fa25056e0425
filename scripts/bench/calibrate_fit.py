"""Coefficients of `trainer/plan/estimate.py` from measured rows, with residuals and an evaluation on rows held out.

A row is one measured configuration:

    {"shape": "14b", "precision": "4bit", "checkpointing": "unsloth", "rank": 16, "count": 4, "tokens": 4096,
     "longest_tokens": 4096, "pairs": 4194304, "varying": false, "gpu": "h100-80gb", "step_s": 3.0, "reserved_gb": 12.0,
     "source": "where it was measured", "apart": 1,
     "gpu_memory_gb": 12.6}

`gpu_memory_gb` is there where training was given a part of the GPU only, `filled_tokens` where steps were recorded,
`turned_copy` where weights in FP8 were held a second time.
`step_s` or `reserved_gb` may be null. The fit is least squares on the logarithms of predicted / measured, divided by
the tolerance of each (10 % memory, 20 % time); every coefficient is pulled weakly to its default, so that few rows do.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from configs.machine.gpus import GPUS
from configs.model.known_shapes import known_config
from configs.model.shape import ModelShape
from trainer.plan.estimate import Batches, Coefficients, Setup, estimate_memory, estimate_time

MEMORY_TOLERANCE = 0.10
TIME_TOLERANCE = 0.20

SHAPES = {
    "tiny": ModelShape(64, 2, 4, 2, 16, 512, True, 128, True),
    **{size: ModelShape.of(known_config(f"Qwen/Qwen3-{size.upper()}") or {}) for size in ("0.6b", "4b", "8b", "14b")},
}
"""Qwen3 by size, from the published configurations; `tiny` is for trying the scripts without a GPU."""

_PULL = 0.05
"""Weight of a coefficient's distance from its default, in e-folds, against one tolerance of a measured value."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Residual:
    """One row, predicted."""

    row: Row
    reserved_gb: float
    step_s: float

    @property
    def memory_error(self) -> float | None:
        """Predicted / measured - 1 of the peak reserved memory."""
        measured = self.row.get("reserved_gb")
        return self.reserved_gb / measured - 1 if measured else None

    @property
    def time_error(self) -> float | None:
        """Predicted / measured - 1 of the seconds a step."""
        measured = self.row.get("step_s")
        return self.step_s / measured - 1 if measured else None


def setup_of(row: Row) -> Setup:
    """What a row trained."""
    return Setup(
        SHAPES[row["shape"]], row["precision"], row["checkpointing"], rank=row.get("rank", 16),
        optimizer=row.get("optimizer", "adamw_8bit"), recorded=row.get("recorded", False),
        kept_layers=row.get("kept_layers", 0), turned_copy=row.get("turned_copy", False),
    )  # fmt: skip


def batches_of(row: Row) -> Batches:
    """The micro-batches of a row."""
    sizes = row["tokens"], row["longest_tokens"], row["pairs"], row["varying"]
    return Batches(row["count"], *sizes, apart=row.get("apart", 1), filled_tokens=row.get("filled_tokens", 0.0))


def predict(row: Row, coefficients: Coefficients) -> Residual:
    """Memory and time of a row under these coefficients."""
    setup, batches, gpu = setup_of(row), batches_of(row), GPUS[row["gpu"]]
    gpu = replace(gpu, memory_gb=row.get("gpu_memory_gb", gpu.memory_gb))
    memory = estimate_memory(setup, batches, gpu, coefficients)
    return Residual(row, memory.reserved_gb, estimate_time(setup, batches, gpu, coefficients).step_s)


def fit(rows: Sequence[Row], start: Coefficients | None = None) -> Coefficients:
    """The coefficients that predict these rows best."""
    from scipy.optimize import least_squares

    start = start or Coefficients()
    names = [f.name for f in fields(Coefficients)]
    default = np.log([getattr(start, name) for name in names])

    def misses(logs: np.ndarray) -> np.ndarray:
        coefficients = Coefficients(**dict(zip(names, np.exp(logs).tolist(), strict=True)))
        values = list(_PULL * (logs - default))
        for row in rows:
            seen = predict(row, coefficients)
            if row.get("reserved_gb"):
                values.append(np.log(seen.reserved_gb / row["reserved_gb"]) / MEMORY_TOLERANCE)
            if row.get("step_s"):
                values.append(np.log(seen.step_s / row["step_s"]) / TIME_TOLERANCE)
        return np.array(values)

    # A coefficient that the rows say nothing about stays; soft_l1 keeps one odd row from bending the rest.
    found = least_squares(misses, default, bounds=(default - 4, default + 4), loss="soft_l1").x
    return Coefficients(**{name: float(f"{value:.4g}") for name, value in zip(names, np.exp(found), strict=True)})


def cross_validate(rows: Sequence[Row], folds: int = 5, seed: int = 0) -> list[Residual]:
    """Every row predicted by coefficients fitted to the other folds' rows."""
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    held: list[Residual] = []
    for fold in range(min(folds, len(rows))):
        out = set(order[fold::folds])
        fitted = fit([row for i, row in enumerate(rows) if i not in out])
        held += [predict(rows[i], fitted) for i in sorted(out)]
    return held


def leave_out_shapes(rows: Sequence[Row]) -> list[Residual]:
    """Every row predicted by coefficients fitted to the other model sizes' rows; empty with fewer than two sizes."""
    shapes = {row["shape"] for row in rows}
    if len(shapes) < 2:
        return []
    held: list[Residual] = []
    for shape in sorted(shapes):
        fitted = fit([row for row in rows if row["shape"] != shape])
        held += [predict(row, fitted) for row in rows if row["shape"] == shape]
    return held


def summary(residuals: Iterable[Residual]) -> dict[str, Any]:
    """Mean and largest absolute error of memory and time, and the rows beyond the tolerances."""
    residuals = list(residuals)
    memory = [abs(e) for r in residuals if (e := r.memory_error) is not None]
    time = [abs(e) for r in residuals if (e := r.time_error) is not None]
    return {
        "rows": len(residuals),
        "memory_mean": round(float(np.mean(memory)), 4) if memory else None,
        "memory_max": round(max(memory), 4) if memory else None,
        "memory_beyond_10_percent": sum(e > MEMORY_TOLERANCE for e in memory),
        "time_mean": round(float(np.mean(time)), 4) if time else None,
        "time_max": round(max(time), 4) if time else None,
        "time_beyond_20_percent": sum(e > TIME_TOLERANCE for e in time),
    }


_NOT_FITTED = {
    *("group", "did", "steps", "first_step_s", "step_median_s", "step_mean_s"),
    *("useful", "useful_tokens_per_s", "batches", "allocated_gb"),
}
"""What `measure` writes down beside what is fitted: for reading, and for going on after a stop."""


def as_json(coefficients: Coefficients, rows: Sequence[Row]) -> dict[str, Any]:
    """What `trainer/plan/calibration.json` holds."""
    return {
        "coefficients": asdict(coefficients),
        "fit": summary(predict(row, coefficients) for row in rows),
        "held_out": summary(cross_validate(rows)),
        "rows": [{key: value for key, value in row.items() if key not in _NOT_FITTED} for row in rows],
    }

"""Measures training on a GPU and fits the coefficients of `trainer/plan/estimate.py` to it.

    python -m scripts.bench.calibrate measure --tokenizer DIR --models DIR --rows rows.jsonl --minutes 8
    python -m scripts.bench.calibrate fit rows.jsonl [--write] [--replace]
    python -m scripts.bench.calibrate measure --tiny --rows rows.jsonl
    python -m scripts.bench.calibrate shape DIR --size 14b --tokenizer DIR

`measure` trains Qwen3 shapes with random weights through this project's own trainer on random rows. One process a group
(size, precision, checkpointing), several layouts in each, a JSON line a layout; groups whose lines are all there are
skipped, and the most telling groups come first. `fit` fits all rows, prints
every residual, the errors on rows held out (five folds) and on sizes held out, and with --write puts coefficients and
rows into trainer/plan/calibration.json (beside the rows there, or with --replace instead of them). `shape` writes a
model with random weights, Qwen3.5-9B (`qwen3.5-9b`) and Qwen3-30B-A3B (`30b-a3b`) among them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from scripts.bench.calibrate_fit import (
    Residual,
    as_json,
    cross_validate,
    fit,
    leave_out_shapes,
    predict,
    summary,
)
from scripts.bench.child import run_child
from scripts.bench.shapes import SIZES, write_shape
from trainer.plan.estimate import CALIBRATION, load_calibration

DEMO_MODEL = Path(__file__).parents[2] / "configs" / "demo" / "model"
WARMUP, STEPS = 2, 5
"""Optimizer steps left out, and optimizer steps in all, of every layout."""
RECORDED_STEPS = 30
"""Optimizer steps in all of a layout that is recorded; fewer would not pay for a recording."""
LEAST_MINUTES = 1.0
"""A group is not begun with less than this left."""
END_TOKEN = 2
"""The last token of every made-up answer."""


@dataclass(frozen=True)
class Layout:
    """Micro-batches of one measured configuration."""

    rows: int
    """Rows of a micro-batch."""
    length: int
    """Tokens of every row; 0 draws lengths as short instructions have them (mean about 140)."""
    count: int = 1
    """Micro-batches of an optimizer step."""
    padded: bool = False
    """Padded rows instead of rows end to end."""
    recorded: bool = False
    """Steps recorded as CUDA graphs."""
    optimizer: str = "adamw_torch_fused"
    """By its name in transformers."""

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return RECORDED_STEPS if self.recorded else STEPS

    @property
    def name(self) -> str:
        """Identifies it within its group."""
        marks = ["padded"] * self.padded + ["recorded"] * self.recorded + ["8bit"] * ("8bit" in self.optimizer)
        return "-".join([f"{self.count}x{self.rows}x{self.length or 'short'}", *marks])


@dataclass(frozen=True)
class Group:
    """Layouts that share a loaded model."""

    shape: str
    precision: str
    checkpointing: str
    layouts: tuple[Layout, ...]
    turned_copy: bool = False
    """Whether weights in FP8 are held a second time for the backward pass."""

    @property
    def name(self) -> str:
        """Identifies it within the rows."""
        return f"{self.shape}-{self.precision}-{self.checkpointing}{'-turned' * self.turned_copy}"


_FULL = (
    Layout(8, 0, recorded=True),
    Layout(32, 0, recorded=True),
    Layout(8, 0),
    Layout(8, 0, optimizer="adamw_8bit"),
    Layout(2, 2048),
    Layout(1, 512, 4),
    Layout(8, 0, padded=True),
    Layout(4, 0, 2),
    Layout(1, 2048, 2),
)
_SHORT = (
    Layout(8, 0, recorded=True),
    Layout(16, 0, recorded=True),
    Layout(2, 1024, 4, recorded=True),
    Layout(8, 0),
    Layout(2, 2048),
    Layout(4, 1024, 2),
)
_LONG = (Layout(2, 2048), Layout(2, 4096), Layout(8, 0, 2), Layout(16, 0))
GROUPS = (
    Group("14b", "8bit", "off", _SHORT, turned_copy=True),
    Group("14b", "8bit", "off", _SHORT),
    Group("14b", "8bit", "unsloth", _LONG),
    Group("4b", "8bit", "off", (*_SHORT, Layout(4, 2048))),
    Group("4b", "16bit", "unsloth", (*_LONG, Layout(8, 2048))),
    Group("8b", "16bit", "off", (*_SHORT, Layout(3, 2048))),
    Group("4b", "4bit", "off", (*_SHORT, Layout(4, 2048))),
    Group("14b", "16bit", "unsloth", _LONG),
    Group("8b", "4bit", "on", _LONG),
    Group("0.6b", "4bit", "unsloth", _LONG),
    Group("0.6b", "4bit", "off", _SHORT),
    Group("4b", "16bit", "off", (*_SHORT, Layout(6, 2048))),
    Group("14b", "4bit", "off", _SHORT),
    Group("14b", "16bit", "off", _FULL),
    Group("0.6b", "16bit", "off", (*_FULL, Layout(8, 2048), Layout(32, 0))),
    Group("14b", "4bit", "unsloth", _LONG),
    Group("14b", "16bit", "on", tuple(layout for layout in _SHORT if not layout.recorded)),
    Group("8b", "16bit", "unsloth", _LONG),
)
"""What the table lacks comes first: sizes and precisions that it has no rows of."""
TINY = (Group("tiny", "16bit", "off", (Layout(4, 0), Layout(2, 64, 2))),)


def main() -> None:
    """Runs `measure`, `shape`, `fit` or (inside) one group."""
    options = arguments()
    if options.command == "shape":
        write_shape(
            options.folder, options.tokenizer, options.size, layers=options.layers, weights=not options.no_weights
        )
        return
    if options.command == "group":
        measure_group(options)
        # Threads of the training stack can hold the interpreter for seconds after the work is done.
        sys.stdout.flush()
        os._exit(0)
    if options.command == "measure":
        measure_all(options)
    rows = [json.loads(line) for line in options.rows.read_text(encoding="utf-8").splitlines()]
    show_fit(rows, options)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("measure", "group"):
        command = commands.add_parser(name)
        command.add_argument("--rows", type=Path, required=True, help="JSONL to add to")
        command.add_argument("--tokenizer", type=Path, default=DEMO_MODEL, help="folder with a Qwen tokenizer")
        command.add_argument("--models", type=Path, default=Path(tempfile.gettempdir()) / "calibrate_models")
        command.add_argument("--minutes", type=float, default=60)
        command.add_argument("--limit-s", type=float, default=240, help="time for one group")
        command.add_argument("--tiny", action="store_true", help="one small group, on a CPU too")
        command.add_argument("--only", default="", help="groups by name, with commas")
        command.add_argument("--group", help=argparse.SUPPRESS)
        command.set_defaults(write=False, replace=False)
    command = commands.add_parser("shape", help="only write a model of some size with random weights")
    command.add_argument("folder", type=Path)
    command.add_argument("--size", choices=SIZES, default="14b")
    command.add_argument("--tokenizer", type=Path, default=DEMO_MODEL, help="folder with a Qwen tokenizer")
    command.add_argument("--layers", type=int, default=0, help="this many instead of all")
    command.add_argument("--no-weights", action="store_true", help="for a server that makes them up")
    command = commands.add_parser("fit")
    command.add_argument("rows", type=Path, help="JSONL of measured rows")
    command.add_argument("--write", action="store_true", help="into trainer/plan/calibration.json")
    command.add_argument("--replace", action="store_true", help="do not keep the rows that are there")
    return parser.parse_args()


def measure_all(options: argparse.Namespace) -> None:
    """Runs the groups in order until the minutes are spent."""
    until = time.monotonic() + 60 * options.minutes
    options.rows.touch()
    found = {folder.name for folder in options.models.glob("*")}
    groups: Sequence[Group] = TINY if options.tiny else GROUPS
    groups = [g for g in groups if not options.only or g.name in options.only.split(",")]
    for i, group in enumerate(groups):
        left = until - time.monotonic()
        done = done_layouts(options.rows, group)
        if len(done) == len(group.layouts):
            continue
        if left < 60 * LEAST_MINUTES:
            print(f"{group.name}: not begun, {left:.0f} s are left", flush=True)
            break
        passed = ["group", "--group", group.name, "--rows", str(options.rows)]
        passed += ["--tokenizer", str(options.tokenizer), "--models", str(options.models)]
        passed += ["--tiny"] if options.tiny else []
        ran = run_child("scripts.bench.calibrate", passed, limit_s=min(options.limit_s, left))
        count = len(done_layouts(options.rows, group))
        print(f"{group.name}: {ran.get('error', 'done')}, {ran['process_s']:.0f} s, {count} layouts", flush=True)
        if group.shape not in found | {g.shape for g in groups[i + 1 :]}:
            shutil.rmtree(options.models / group.shape, ignore_errors=True)


def done_layouts(rows: Path, group: Group) -> set[str]:
    """Names of the group's layouts that are measured (or do not fit)."""
    found = (json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines())
    return {row["layout"] for row in found if row["group"] == group.name}


def measure_group(options: argparse.Namespace) -> None:
    """Loads the model of a group once and measures its layouts, a line each."""
    from trainer import environment

    environment.settle(Path(tempfile.gettempdir()) / "tuneserve_calibrate")
    import trainer.sft.loop as loop  # isort: skip - imports unsloth, which must come first
    import torch
    from tokenizers import Tokenizer

    from configs.handover.training import Plan, PreparedFacts
    from configs.machine.gpus import match
    from configs.recipe.schema import RunConfig
    from configs.run.rundir import RunDir
    from scripts.bench.training_run import measure, out_of_memory_as_result, release, share_base
    from trainer.sft.device import find_device
    from trainer.sft.varlen import torch_kernel

    # From torch 2.12 on, whose kernel shares keys among heads, Unsloth hands it all rows that lie end to end at once.
    _, one_kernel = torch_kernel()
    group = next(g for g in (TINY if options.tiny else GROUPS) if g.name == options.group)
    folder = DEMO_MODEL if options.tiny else options.models / group.shape
    if not (folder / "config.json").is_file():
        write_shape(folder, options.tokenizer, group.shape)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    device = find_device()
    on_gpu = device.kind == "cuda"
    gpu = match(device.name, device.memory_gb) or device
    # Every layout gets a trainer of its own, all on one model.
    longest = 8192 if on_gpu else 512
    share_base(longest)
    already = done_layouts(options.rows, group)
    recorded_gb = 0.0
    for layout in group.layouts:
        if layout.name in already:
            continue
        plan = Plan(
            rows_per_step=layout.rows * layout.count, micro_batch=layout.rows, accumulation=layout.count,
            padding_free=on_gpu and not layout.padded, checkpointing=group.checkpointing,  # type: ignore[arg-type]
            dtype="bfloat16" if on_gpu else "float32", optimizer=layout.optimizer if on_gpu else "adamw_torch",
            learning_rate=2e-5, graphs=on_gpu and layout.recorded, group_by_length=False, reasons={},
            turned_copy=group.turned_copy,
        )  # fmt: skip
        row: dict[str, Any] = {
            "group": group.name, "shape": group.shape, "precision": group.precision, "rank": 16,
            "checkpointing": group.checkpointing, "layout": layout.name, "optimizer": layout.optimizer,
            "recorded": layout.recorded, "turned_copy": group.turned_copy, "gpu": gpu.name if on_gpu else "cpu",
            "source": f"{gpu.name}, {datetime.date.today().isoformat()}, torch {torch.__version__}",
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as scratch:
            config = RunConfig.model_validate(
                {
                    "name": "calibrate",
                    "model": str(folder),
                    "output_dir": scratch,
                    "data": "none.jsonl",
                    "proof": {"rows": 1},
                    "train": {
                        "precision": group.precision,
                        "max_steps": layout.steps,
                        "save_steps": 0,
                        "plan": "manual",
                    },
                }
            )
            table = random_rows(layout, layout.rows * layout.count * layout.steps, tokenizer.decode)
            facts = PreparedFacts(
                base_model=folder, family="none", thinking=False, end_token="", end_token_id=END_TOKEN,
                template_sha256="", system=None, longest_row=longest,
            )  # fmt: skip
            with out_of_memory_as_result(row):
                training = loop.TrainingRun(RunDir.create(config), config, plan, facts, table, table.slice(0, 0))
                warmup = layout.steps // 2 if layout.recorded else WARMUP
                row |= measure(training.trainer, warmup=warmup, micro_batches=layout.count)
                row["step_mean_s"] = row["step_s"]
                if not layout.recorded:
                    # One step in which a kernel is compiled for a new length must not stand for all. A recording
                    # compiles nothing any more, and the lengths of its steps differ: their mean is what is predicted.
                    row["step_s"] = row["step_median_s"]
                row["reserved_gb"] = peak_that_tells(row["reserved_gb"], recorded_gb, device.memory_gb, layout.recorded)
                if layout.recorded:
                    recorded_gb = max(recorded_gb, row["reserved_gb"] or 0)
                if recorded := training.recorded():
                    row["filled_tokens"], row["longest_tokens"] = recorded.mean_tokens, max(recorded.sizes, default=0)
                    if recorded.off or recorded.updates_off:
                        row["error"] = f"not recorded: {recorded.off or recorded.updates_off}"
                row["apart"] = 1 if layout.padded or layout.recorded or one_kernel else layout.rows
                did = {"padding_free", "gradient_checkpointing", "attention", "version"}
                row["did"] = training.did.model_dump(include=did)
            training = None  # type: ignore[assignment]
        release()
        with options.rows.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        print(json.dumps({k: row.get(k) for k in ("group", "layout", "step_s", "reserved_gb", "error")}), flush=True)


def peak_that_tells(reserved_gb: float | None, recorded_gb: float, card_gb: float, recorded: bool) -> float | None:
    """The peak of a layout; None where it says what there was and not what the layout takes.

    Args:
        reserved_gb: the peak; None without a GPU.
        recorded_gb: the largest of recordings before it in this process, which leave some of their memory taken.
        card_gb: the card's memory; a peak that reaches its end was kept below it.
        recorded: whether the layout is recorded.
    """
    if reserved_gb is None or (recorded and reserved_gb < recorded_gb) or reserved_gb > 0.98 * card_gb:
        return None
    return reserved_gb


def random_rows(layout: Layout, count: int, said: Callable[[list[int]], str], seed: int = 0) -> Any:
    """Rows of random ids in the form of RUN/data/train.

    Args:
        layout: says how long they are.
        count: how many.
        said: token ids to text: training compares what it is given with what the data say.
        seed: the same seed gives the same rows.
    """
    import pyarrow as pa

    generator = np.random.default_rng(seed)
    # Log-normal with the mean (138) and 95th percentile (276) of short Chinese instructions.
    drawn = np.clip(generator.lognormal(4.80, 0.50, count), 16, 600).astype(int)
    lengths = [layout.length or int(n) for n in drawn]
    ids = [[*generator.integers(10, 500, n - 1).tolist(), END_TOKEN] for n in lengths]
    labels = [[-100] * (n // 2) + row[n // 2 :] for n, row in zip(lengths, ids, strict=True)]
    return pa.table(
        {
            "id": [f"row/{i}" for i in range(count)],
            "conversation": [f"row{i}" for i in range(count)],
            "input_ids": ids,
            "labels": labels,
            "length": lengths,
            "said": [[said(row[len(row) // 2 :])] for row in ids],
        }
    )


def show_fit(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    """Fits the measured rows, prints residuals and held-out errors, and writes them if asked to."""
    console = Console()
    usable = [r for r in rows if r["gpu"] != "cpu" and not r.get("error") and (r.get("step_s") or r.get("reserved_gb"))]
    if not usable:
        console.print(f"{len(rows)} rows, none of them measured on a GPU: nothing to fit")
        return
    before = load_calibration().coefficients
    console.print("predicted before these rows were seen:", summary(predict(r, before) for r in usable))
    every = usable if options.replace else [*load_calibration().rows, *usable]
    fitted = fit(every)
    console.print(residuals_table([predict(r, fitted) for r in every]))
    console.print(fitted)
    console.print("fitted:", summary(predict(r, fitted) for r in every))
    console.print("held out, five folds:", summary(cross_validate(every)))
    console.print("held out, one size at a time:", summary(leave_out_shapes(every)))
    if options.write:
        CALIBRATION.write_text(written(as_json(fitted, every)), encoding="utf-8")


def written(calibration: dict[str, Any]) -> str:
    """The file's text: the names of the columns, and a line for every measured row, so that a change shows as one."""
    columns = list(dict.fromkeys(name for row in calibration["rows"] for name in row))
    about = {name: value for name, value in calibration.items() if name != "rows"}
    head = json.dumps(about | {"columns": columns}, indent=1)
    lines = ([row.get(name) for name in columns] for row in calibration["rows"])
    rows = ",\n".join(json.dumps(line, separators=(",", ":")) for line in lines)
    return head.removesuffix("\n}") + f',\n "rows": [\n{rows}\n ]\n}}\n'


def residuals_table(residuals: Sequence[Residual]) -> Table:
    """Measured against predicted, a line each."""
    table = Table(title="Measured and predicted", title_justify="left", box=None)
    for column in (
        "shape",
        "precision",
        "checkpointing",
        "layout",
        "GB",
        "predicted",
        "error",
        "s/step",
        "predicted",
        "error",
    ):
        table.add_column(column, no_wrap=column != "layout")
    for r in residuals:
        row = r.row
        memory, seconds = r.memory_error, r.time_error
        table.add_row(
            row["shape"], row["precision"], row["checkpointing"], row["layout"],
            *_compared(row.get("reserved_gb"), r.reserved_gb, memory, ".1f"),
            *_compared(row.get("step_s"), r.step_s, seconds, ".3f"),
        )  # fmt: skip
    return table


def _compared(measured: float | None, predicted: float, error: float | None, digits: str) -> tuple[str, str, str]:
    if measured is None or error is None:
        return ("", "", "")
    return (format(measured, digits), format(predicted, digits), f"{error:+.1%}")


if __name__ == "__main__":
    main()

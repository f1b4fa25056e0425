"""The line of each recipe that says GPU, memory, time and disk: `python -m scripts.bench.recipe_plans [--write]`.

What a recipe is planned for (the card, and rows of a length) stands in that line itself, everything else is computed
anew from it: the plan of `tuneserve check`, for the published shape of its model. One row in a hundred is as long as
the recipe lets it be.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

from configs.machine.gpus import named_gpu
from configs.model.known_shapes import known_config
from configs.model.mixed_shape import MixedShape, shape_of
from configs.model.serving_memory import served_precision
from configs.recipe.load import load_config
from configs.recipe.recipes import recipes
from trainer.check import disk_gb
from trainer.plan.candidates import candidates
from trainer.plan.layout import make_plan, predicted_layout
from trainer.plan.serving import servable

LINE = re.compile(
    r"^# Planned for (?P<gpu>[\w-]+): (?P<rows>[\d,]+) rows of (?P<tokens>[\d,]+) tokens.*$", re.MULTILINE
)
"""What is given, and what follows."""


def planned_line(recipe: Path) -> str | None:
    """The line as it should be; None for a recipe without one."""
    found = LINE.search(recipe.read_text(encoding="utf-8"))
    if found is None:
        return None
    config = load_config(recipe)
    known = known_config(config.model)
    assert known is not None, f"{recipe.name}: the shape of {config.model} is not known"
    gpu, shape = named_gpu(found["gpu"]), shape_of(known)
    rows, tokens = (int(found[name].replace(",", "")) for name in ("rows", "tokens"))
    replayed = round(rows * config.data.replay.ratio) if config.data.replay else 0
    lengths = [config.data.max_length if n % 100 == 0 else tokens for n in range(rows + replayed)]
    asked = served_precision(config.serve.precision, gpu)
    served = servable(shape, config.serve, gpu, config.data.max_length)[asked]
    serves = f"serves there in {asked}" if not served.why_not else f"serves in {asked} on a larger card"
    with_replay = f" and {replayed:,} of replay" if replayed else ""
    rows_of = f"# Planned for {gpu.name}: {rows:,} rows of {tokens:,} tokens"
    disk = (
        f"{sum(disk_gb(config, shape).values()):.0f} GB of disk beside the base's {2 * shape.parameters / 1e9:.0f} GB"
    )
    if isinstance(shape, MixedShape):
        held_gb = 2 * (shape.parameters - shape.image_parameters) / 1e9
        assert held_gb < gpu.memory_gb, f"{recipe.name}: does not fit {gpu.name}"
        train = f"its weights take {held_gb:.0f} GB while training, what rows add is not predicted"
        return f"{rows_of}; {train}; {disk}; {serves}."
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(known), encoding="utf-8")
        layout = predicted_layout(config, Path(folder), lengths, gpu)
    if layout is not None:
        taken = layout[0]
    else:
        plan = make_plan(config.train, config.lora, lengths, gpu)
        every = candidates(config.train, config.lora, shape, lengths, gpu, [config.train.precision], plan.rows_per_step)
        asked_for = (plan.micro_batch, plan.checkpointing, 0)
        taken = next(c for c in every if (c.micro_batch, c.checkpointing, c.kept_layers) == asked_for)
    assert taken.fits, f"{recipe.name}: does not fit {gpu.name}"
    return f"{rows_of}{with_replay} train in {_time(taken.hours)} and {taken.peak_gb:.0f} GB; {disk}; {serves}."


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"


def main(arguments: list[str] | None = None) -> int:
    """Prints the lines; with --write puts them into the recipes. Returns 1 where one was out of date."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.recipe_plans", description=__doc__)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    stale = 0
    for name, file in recipes().items():
        line = planned_line(file)
        if line is None:
            continue
        text = file.read_text(encoding="utf-8")
        print(f"{name}\n  {line}")
        if line not in text.splitlines():
            stale += 1
            if options.write:
                file.write_text(LINE.sub(line.replace("\\", r"\\"), text, count=1), encoding="utf-8")
    return 0 if options.write or not stale else 1


if __name__ == "__main__":
    sys.exit(main())

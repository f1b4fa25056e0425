"""What the limits of `merge.scale: auto` rest on: scores and measures of trained runs at every scale, over one vLLM.

    python -m scripts.bench.scales runs/plain-42 runs/selfmade-42 --tasks cmrc csl gsm8k --limit gsm8k=1000 \\
        --unseen runs/selfmade-42/data/selfmade/unseen.jsonl --out scales.json

The adapters of the runs, which share a base, are served at every scale beside it. Each name is asked the tasks that the
first run's recipe names and what the stage `scale` asks. Into the file go, for each run and scale, the scores with
their change from the base, how long answers were, and what the stage measured and would have chosen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from configs.handover.base import read_rows
from configs.handover.scale import MeasuredScale
from configs.handover.selfmade import SelfMadeRow
from configs.recipe.load import load_config
from configs.recipe.schema import RunConfig
from configs.run.adapter_scale import SCALES, write_scaled
from configs.run.rundir import RunDir
from eval.ask.endpoint import Endpoint
from eval.ask.evaluate import evaluate
from eval.ask.results import TaskResult
from eval.compare import scales
from eval.tasks import Task, load_tasks
from scripts.bench.arms_table import at_once
from scripts.run.asking import run_settings
from scripts.run.scaling import Asked, measuring_settings, what_is_asked
from scripts.run.serving import OnDemand
from serve.launch.target import base_name, scales_target


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="trained runs over one base")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--tasks", nargs="+", required=True, help="names of tasks of the first run's recipe")
    parser.add_argument("--limit", nargs="*", default=[], help="NAME=ITEMS of a task, a seeded sample")
    parser.add_argument("--scales", nargs="+", type=float, default=list(SCALES))
    parser.add_argument("--unseen", type=Path, help="unseen.jsonl for runs that have none of their own")
    parser.add_argument("--answers", type=Path, help="folder for the answers; beside the file by default")
    parser.add_argument("--lanes", type=int, default=4, help="names asked at the same time")
    parser.add_argument("--set", nargs="*", default=[], dest="overrides", help="keys over the first run's recipe")
    options = parser.parse_args()
    began = time.monotonic()
    runs = [RunDir.open(path) for path in options.runs]
    config = load_config(runs[0].config_file, options.overrides)
    tasks = chosen_tasks(config, options.tasks, dict(text.split("=") for text in options.limit))
    asked = {run: questions(run, options.unseen) for run in runs}
    answers = options.answers or options.out.with_suffix("")
    named = {f"{run.path.name}-x{scale:g}": (run, scale) for run in runs for scale in options.scales}
    folders = {
        name: write_scaled(run.adapter, answers / "adapters" / name, scale) for name, (run, scale) in named.items()
    }
    target = scales_target(runs[0], config, folders)
    with OnDemand(lambda: target, config.serve, answers / "serve.log") as server:
        up = server.up()
        print(f"ready after {up.ready_s:.0f} s; {len(folders) + 1} names, {[(t.name, len(t.items)) for t in tasks]}")

        def ask(name: str) -> tuple[dict[str, TaskResult], dict[RunDir, MeasuredScale]]:
            endpoint = Endpoint(up.command.base_url, name, name)
            started = time.monotonic()
            run, scale = named.get(name, (None, 0.0))
            settings = measuring_settings(config)
            measured = {one: asked[one].measure(endpoint, scale, settings) for one in ([run] if run else runs)}
            between = time.monotonic()
            results = evaluate(endpoint, tasks, answers / name, settings=run_settings(config, target.family))
            print(f"{name}: measured {between - started:.1f} s, asked {time.monotonic() - between:.1f} s", flush=True)
            return results, measured

        names = [base_name(config), *named]
        with ThreadPoolExecutor(options.lanes) as lanes:
            found = dict(zip(names, lanes.map(ask, names), strict=True))
    report = summary(runs, named, found, asked, base_name(config))
    report["seconds"] = round(time.monotonic() - began, 1)
    options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(report))


def chosen_tasks(config: RunConfig, names: Sequence[str], limits: dict[str, str]) -> list[Task]:
    """The tasks of a recipe by their names, with other numbers of items."""
    known = {task.name: task for task in config.eval.tasks}
    wanted = [known[name].model_copy(update={"limit": int(limits[name])} if name in limits else {}) for name in names]
    return load_tasks(wanted, config.eval_seed, config.hub, config.offline)


def questions(run: RunDir, unseen: Path | None) -> Asked:
    """What the stage `scale` asks of a run, with other unseen questions where the run has none."""
    if unseen is None or (run.selfmade / "unseen.jsonl").is_file():
        return what_is_asked(run, run.config())
    return what_is_asked(run, run.config(), read_rows(unseen, SelfMadeRow, "selfmade"))


def summary(
    runs: Sequence[RunDir],
    named: dict[str, tuple[RunDir, float]],
    found: dict[str, tuple[dict[str, TaskResult], dict[RunDir, MeasuredScale]]],
    asked: dict[RunDir, Asked],
    base: str,
) -> dict[str, Any]:
    """Scores, lengths and measures by run and scale."""
    before, base_measured = found[base]
    report: dict[str, Any] = {"base": {name: scored(result) for name, result in before.items()}, "runs": {}}
    for run in runs:
        mine = {scale: found[name] for name, (owner, scale) in named.items() if owner is run}
        rows = asked[run]
        measured = [measures[run] for _, measures in mine.values()]
        facts = scales.choose(measured, base_measured[run], rows.heldout_tokens, rows.general_tokens)
        report["runs"][run.path.name] = {
            "chosen": facts.model_dump(mode="json"),
            "measured": [one.model_dump(mode="json") for one in (base_measured[run], *measured)],
            "heldout_tokens": rows.heldout_tokens,
            "general_tokens": rows.general_tokens,
            "tasks": {
                f"{scale:g}": {
                    name: scored(result) | {"change": round(100 * (result.mean() - before[name].mean()), 2)}
                    for name, result in results.items()
                }
                for scale, (results, _) in mine.items()
            },
        }
    return report


def scored(result: TaskResult) -> dict[str, Any]:
    """Score in points, and how long the answers were."""
    tokens = [sample.usage["completion_tokens"] for sample in result.samples if sample.usage]
    return {
        "points": round(100 * result.mean(), 2),
        "n": result.meta.n,
        "mean_tokens": round(fmean(tokens), 1) if tokens else None,
        "at_once": at_once(result.samples),
        "scores": [round(score, 4) for score in result.scores()],
    }


def table(report: dict[str, Any]) -> str:
    """The figures of a report, a line for each run and scale."""
    lines = ["base " + "  ".join(f"{name} {one['points']:.1f}" for name, one in report["base"].items())]
    for name, run in report["runs"].items():
        lines.append(f"{name}: chosen {run['chosen']['scale']:g}, satisfied {run['chosen']['satisfied']}")
        for point in run["chosen"]["points"]:
            tasks = run["tasks"][f"{point['scale']:g}"]
            changes = "  ".join(f"{t} {one['change']:+.1f} ({one['at_once']:.0%} at once)" for t, one in tasks.items())
            kept = f"likelihood {100 * point['gain_share']:5.1f} %  tokens {100 * point['accuracy_share']:5.1f} %"
            lines.append(
                f"  {point['scale']:<4g} {kept}  drift {point['drift']:+.4f}  "
                f"short {100 * point['short_share']:+5.1f} %  {changes}  beyond {point['beyond']}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

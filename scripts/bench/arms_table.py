"""The table of `scripts.bench.arms`: change against the base by arm and task, seeds kept together, with verdicts.

All arms are compared on the same questions: those that every one of them was asked, since each is asked in blocks until
its own verdict stands. Intervals say how far other questions could move the mean over the seeds; the seeds' own spread
stands beside it as the worst of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.recipe.schema import GateConfig
from eval.ask.results import Sample, TaskResult, read_results
from eval.compare.blocks import Blocks, read_looks
from eval.compare.compare import compare
from eval.compare.comparison import Comparison
from eval.compare.logprobs import read_drift
from eval.compare.own_answers import read_own_answers
from eval.compare.pairing import PairedTask, cluster_labels, pair_tasks
from eval.statistics.clustered import cluster_totals, standard_error
from eval.statistics.interval import two_sided_t

LEAST_SHOWN = 100
"""Tasks of fewer questions are in the file and not in the table."""
SHORT_TOKENS = 15
"""Answers of fewer tokens were given at once."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Answers:
    """What one model was asked: its arm and seed, the scale of its adapter, and the folders of base and tuned."""

    arm: str
    seed: int
    scale: float
    base: Path
    tuned: Path


@dataclass(frozen=True)
class _Read:
    """Answers with what they come to."""

    of: Answers
    comparison: Comparison
    pairs: dict[str, PairedTask]
    asked: int


def summed_up(answers: Sequence[Answers], gate: GateConfig) -> dict[str, Any]:
    """Everything of the table and more, as JSON: by arm its seeds, and by task the mean over them.

    Args:
        answers: of every arm and seed that was asked.
        gate: of the recipe.
    """
    if not answers:
        return {"base": {}, "arms": {}}
    base = read_results(answers[0].base)
    read = [_read(one, gate) for one in answers]
    common = {task: _ids_of_all([one.pairs[task] for one in read]) for task in base}
    arms: dict[str, Any] = {}
    for arm in dict.fromkeys(one.of.arm for one in read):
        mine = [one for one in read if one.of.arm == arm]
        arms[arm] = {
            "seeds": {str(one.of.seed): _seed(one) for one in mine},
            "tasks": {task: _over_seeds([one.pairs[task].only(common[task]) for one in mine]) for task in base},
        }
    return {"base": {task: _base(result, common[task]) for task, result in base.items()}, "arms": arms}


def _read(one: Answers, gate: GateConfig) -> _Read:
    base, tuned, looks = read_results(one.base), read_results(one.tuned), read_looks(one.tuned)
    comparison = compare(
        base,
        tuned,
        gate,
        names=("base", f"{one.arm}-{one.seed}"),
        drift=read_drift(one.base, one.tuned),
        looks=looks,
        own_answers=read_own_answers(one.tuned),
        max_flips=0,
    )
    asked = Blocks(base, gate).ids(looks[-1])
    return _Read(one, comparison, pair_tasks(base, tuned, asked), sum(map(len, asked.values())))


def _ids_of_all(pairs: Sequence[PairedTask]) -> set[str]:
    """Questions that everyone was asked and that can be compared."""
    return set.intersection(*({before.id for before, _ in pair.scored(pair.meta.primary)} for pair in pairs))


def _seed(one: _Read) -> dict[str, Any]:
    found = one.comparison
    return {
        "verdict": found.gate.verdict,
        "checks": {
            check.name or check.kind: {
                "state": check.state, "n": check.n, "delta": check.delta_points,
                "lower": check.lower_points, "upper": check.upper_points, "look": check.look, "unit": check.unit,
            }
            for check in found.gate.checks
        },
        "scale": one.of.scale,
        "asked": one.asked,
        "own_answers_nats": found.own_answers.change_per_token if found.own_answers else None,
        "drift_nats": found.drift.change_per_character if found.drift else None,
        "tasks": {
            task.name: {"n": task.n, "delta": task.delta_points,
                        "interval": [task.interval.lower, task.interval.upper]}
            for task in found.tasks
        },
    }  # fmt: skip


def _over_seeds(pairs: Sequence[PairedTask]) -> dict[str, Any]:
    """Changes in points of each seed and their mean, with its interval over questions, and answers given at once."""
    metric = pairs[0].meta.primary
    changes = [_changes(pair, metric) for pair in pairs]
    mean = np.mean(changes, axis=0)
    clusters = cluster_labels((before.prompt_sha256, before.cluster) for before, _ in pairs[0].scored(metric))
    units = len(cluster_totals(mean, clusters))
    half = two_sided_t(CONFIDENCE, units - 1) * standard_error(mean, clusters) if units > 1 else float("nan")
    by_seed = [100 * float(change.mean()) for change in changes]
    return {
        "n": len(mean),
        "seeds": by_seed,
        "mean": 100 * float(mean.mean()),
        "interval": [100 * (float(mean.mean()) - half), 100 * (float(mean.mean()) + half)],
        "worst": min(by_seed),
        "at_once": at_once([after for pair in pairs for _, after in pair.scored(metric)]),
    }


def _changes(pair: PairedTask, metric: str) -> NDArray[np.float64]:
    before, after = pair.scores(metric)
    return after - before


def at_once(samples: Sequence[Sample]) -> float | None:
    """Share of answers of few tokens; None where the server counted none."""
    tokens = [sample.usage["completion_tokens"] for sample in samples if sample.usage]
    return fmean(count < SHORT_TOKENS for count in tokens) if tokens else None


def _base(result: TaskResult, ids: set[str]) -> dict[str, Any]:
    kept = [sample for sample in result.samples if sample.id in ids]
    scores = [sample.scores.get(result.meta.primary, 0.0) for sample in kept]
    return {"n": len(kept), "points": 100 * float(np.mean(scores)), "at_once": at_once(kept)}


def table(found: dict[str, Any]) -> str:
    """Two tables of Markdown: an arm a line with its change by task, then a line a seed with its verdict."""
    if not found["arms"]:
        return "nothing was answered yet"
    base = {name: one for name, one in found["base"].items() if one["n"] >= LEAST_SHOWN} or found["base"]
    lines = ["| arm | seeds | " + " | ".join(base) + " |", "|---" * (len(base) + 2) + "|"]
    shown = (f"{one['points']:.1f}, n = {one['n']:,}, at once {_share(one['at_once'])}" for one in base.values())
    lines.append("| base | | " + " | ".join(shown) + " |")
    for name, arm in found["arms"].items():
        cells = [_cell(arm["tasks"][task]) for task in base]
        lines.append(f"| `{name}` | {len(arm['seeds'])} | " + " | ".join(cells) + " |")
    lines += ["", "| arm | seed | scale | verdict | asked | drift | checks |", "|---|---|---|---|---|---|---|"]
    for name, arm in found["arms"].items():
        for seed, one in arm["seeds"].items():
            drift = "" if one["drift_nats"] is None else f"{one['drift_nats']:+.4f}"
            verdict = one["verdict"].replace("_", " ")
            checks = ", ".join(_check(name, check) for name, check in one["checks"].items())
            lines.append(
                f"| `{name}` | {seed} | {one['scale']:g} | {verdict} | {one['asked']:,} | {drift} | {checks} |"
            )
    return "\n".join(lines)


def _cell(task: dict[str, Any]) -> str:
    lower, upper = task["interval"]
    change = f"{task['mean']:+.1f} [{lower:+.1f}, {upper:+.1f}], worst {task['worst']:+.1f}"
    return f"{change}, at once {_share(task['at_once'])}"


def _share(found: float | None) -> str:
    return "unknown" if found is None else f"{found:.0%}"


def _check(name: str, check: dict[str, Any]) -> str:
    digits = 3 if check["unit"] == "nats" else 1
    at = f", look {check['look']}" if check["look"] else ""
    return f"{name} {check['state'].replace('_', ' ')} {check['delta']:+.{digits}f} (n = {check['n']:,}{at})"

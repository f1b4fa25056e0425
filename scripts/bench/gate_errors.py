"""How often the gate is wrong, by simulation with the gate's own functions, looks after every block included.

    python -m scripts.bench.gate_errors --experiments 2000

Every experiment draws the answers of base and tuned for one, two or three groups, as many items as the built-in suite
has of each, and walks through the looks as a run does. Printed is the share of experiments that passed and failed, with
the items asked of each group. Two standard errors of a share of 5 % from 2,000 experiments are 1.0 points.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from configs.recipe.schema import GateConfig
from eval.compare.gate import Evidence, mean_margin, verdict
from eval.compare.looks import Looks
from eval.tasks.builtin import MADE_ITEMS

GATE = GateConfig()
SHARED = 0.5
"""Share of the questions on a passage that change as the passage does."""


@dataclass(frozen=True)
class Point:
    """A truth to be judged.

    Attributes:
        what: it is called in the table.
        deltas: true change of each group, in points.
        discordance: share of the items whose score changes.
        whole: items there are of each group.
        block: items between two looks; 0 for one look at all of them.
        passage: questions on one passage, every second of which changes as its passage does.
    """

    what: str
    deltas: tuple[float, ...]
    discordance: float
    whole: int = MADE_ITEMS
    block: int = GATE.block_items
    passage: int = 1


@dataclass(frozen=True)
class Found:
    """Shares of the experiments, and items asked of each group."""

    passed: float
    failed: float
    items: float


def points() -> list[Point]:
    """What is simulated: no loss, a loss of the margin in one group or in the mean, and losses beside it."""
    found = []
    for groups in (1, 2, 3):
        others = (0.0,) * (groups - 1)
        for discordance in (0.10, 0.20, 0.30):
            found.append(Point("nothing lost", (0.0, *others), discordance))
            found.append(Point("one group lost the margin", (-GATE.margin_points, *others), discordance))
        if groups > 1:
            lost = -mean_margin(GATE, groups)
            found.append(Point("the mean lost its margin", (lost,) * groups, 0.20))
        found.append(Point("half a point lost in each", (-0.5,) * groups, 0.20))
        found.append(Point("4 points lost in one", (-4.0, *others), 0.20))
    found.append(Point("nothing lost, one look", (0.0,), 0.10, block=0))
    found.append(Point("one group lost the margin, one look", (-GATE.margin_points,), 0.10, block=0))
    found.append(Point("nothing lost, GSM8K alone", (0.0,), 0.20, whole=8792))
    found.append(Point("the margin lost, GSM8K alone", (-GATE.margin_points,), 0.20, whole=8792))
    for whole in (1000, 6000):
        for discordance in (0.03, 0.10):
            found.append(
                Point(
                    "the margin lost, passages of 7, one look",
                    (-GATE.margin_points,),
                    discordance,
                    whole,
                    block=0,
                    passage=7,
                )
            )
    return found


def drawn(rng: np.random.Generator, n: int, delta_points: float, discordance: float, passage: int = 1) -> Evidence:
    """Answers of which so many change; of those that stay three in five are right."""
    delta = delta_points / 100
    lost, gained = (discordance - delta) / 2, (discordance + delta) / 2
    fate, passages = rng.uniform(size=n), np.arange(n) // passage
    if passage > 1:
        fate = np.where(rng.uniform(size=n) < SHARED, rng.uniform(size=n)[passages], fate)
    before = np.where(fate < lost, 1.0, np.where(fate < lost + gained, 0.0, rng.uniform(size=n) < 0.6))
    after = before - (fate < lost) + ((fate >= lost) & (fate < lost + gained))
    return Evidence("", before, after, passages.tolist() if passage > 1 else None)


def judged(groups: dict[str, Evidence], block: int) -> Looks:
    """The looks of a run, until nothing is open."""
    looks = Looks(groups, GATE)
    asked = dict.fromkeys(groups, 0)
    while looks.open:
        for name in looks.open:
            asked[name] = min(groups[name].n, asked[name] + (block or groups[name].n))
        looks.look({name: _first(group, asked[name]) for name, group in groups.items()})
    return looks


def _first(group: Evidence, n: int) -> Evidence:
    clusters = group.clusters and group.clusters[:n]
    return Evidence(group.name, group.before[:n], group.after[:n], clusters, whole=group.n)


def simulate(point: Point, experiments: int, seed: int = 0) -> Found:
    """Judges so many experiments of one truth."""
    rng = np.random.default_rng([seed, abs(hash((point.deltas, point.discordance))) % 2**31])
    states, items = [], []
    for _ in range(experiments):
        groups = {
            f"g{k}": drawn(rng, point.whole, delta, point.discordance, point.passage)
            for k, delta in enumerate(point.deltas)
        }
        last = judged(groups, point.block).taken[-1]
        states.append(verdict(last.checks, GATE)[0])
        items.append(np.mean(list(last.items.values())))
    return Found(states.count("pass") / experiments, states.count("fail") / experiments, float(np.mean(items)))


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=2000, help="of each truth")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(argv)
    print("| truth | groups | answers that change | passed | failed | open | items asked of each group |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    todo = points()
    with ProcessPoolExecutor(options.processes) as pool:
        for point, found in zip(todo, pool.map(simulate, todo, [options.experiments] * len(todo)), strict=True):
            left = 1 - found.passed - found.failed
            print(
                f"| {point.what} | {len(point.deltas)} | {point.discordance:.0%} | {found.passed:.1%} "
                f"| {found.failed:.1%} | {left:.1%} | {found.items:,.0f} of {point.whole:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

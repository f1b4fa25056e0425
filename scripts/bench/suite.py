"""How hard the built-in suite is for a model: score, unread and cut answers and tokens by kind, language and level.

    tuneserve eval --base-url http://127.0.0.1:8000 --model m --tasks builtin --out scores
    python -m scripts.bench.suite scores [more folders ...]

A kind that a model never or always gets right measures nothing for it: those lines are marked.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.ask.results import Sample, TaskResult, read_results

FLOOR, CEILING = 5.0, 95.0
"""Scores in percent beyond which a kind is marked."""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables of every folder of answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="what `tuneserve eval --out` wrote")
    for folder in parser.parse_args(argv).folders:
        print(f"== {folder}")
        for result in read_results(folder).values():
            print_task(result)


def print_task(result: TaskResult) -> None:
    """One task: the whole, then by level, by language, and by kind over the levels."""
    metric = result.meta.primary
    print(f"\n{result.meta.task} ({metric}, {len(result.samples)} of {result.meta.n} answered)")
    print(line("all", result.samples, metric))
    strata = [sample for sample in result.samples if "stratum" in sample.detail]
    if not strata:
        return
    for place, what in ((2, "level"), (1, "language")):
        for value, some in by(strata, place):
            print(line(f"{what} {value}", some, metric))
    levels = sorted({part(sample, 2) for sample in strata})
    print(f"  {'kind':<22}{'':>6}  " + "".join(f"{f'level {level}':>9}" for level in levels))
    for kind, some in by(strata, 0):
        for language, spoken in by(some, 1):
            cells = [mean([s for s in spoken if part(s, 2) == level], metric) for level in levels]
            whole = mean(spoken, metric)
            mark = "  floor" if whole < FLOOR else "  ceiling" if whole > CEILING else ""
            print(f"  {kind + ' ' + language:<22}{whole:6.1f}  " + "".join(f"{cell:9.1f}" for cell in cells) + mark)


def part(sample: Sample, place: int) -> str:
    """Kind, language or level of a made item."""
    return str(sample.detail["stratum"]).split(" ")[place]


def by(samples: Iterable[Sample], place: int) -> list[tuple[str, list[Sample]]]:
    """Samples by kind, language or level."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[part(sample, place)].append(sample)
    return sorted(found.items())


def mean(samples: Sequence[Sample], metric: str) -> float:
    """Mean score in percent; a sample without an answer counts 0."""
    return 100 * sum(sample.scores.get(metric, 0.0) for sample in samples) / max(len(samples), 1)


def line(name: str, samples: Sequence[Sample], metric: str) -> str:
    """One line of counts."""
    count = max(len(samples), 1)
    unread, cut = (100 * sum(flag in sample.flags for sample in samples) / count for flag in ("unparsed", "truncated"))
    tokens = sum((sample.usage or {}).get("completion_tokens", 0) for sample in samples) / count
    errors = sum(sample.status == "error" for sample in samples)
    return (
        f"  {name:<22}{mean(samples, metric):6.1f}  n {len(samples):<6}unread {unread:4.1f} %  cut {cut:4.1f} %  "
        f"{tokens:6.1f} tokens/answer  errors {errors}"
    )


if __name__ == "__main__":
    main()

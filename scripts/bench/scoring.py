"""How fast answers are scored, and that the scores are the official ones.

    python -m scripts.bench.scoring

CMRC's development set (3,219 questions) is scored for three sets of answers whose official scores are known; it is
looked for in the folder that TUNESERVE_SHARED_DATA names, else in `../shared/data`, and without it a made one of the
same size is timed. ROUGE is compared item by item with `rouge_score`, where that is installed, given a character
tokenizer. Then the bootstrap: 10,000 samples of 3,000 paired scores. The exit code is 1 where a score is not the
official one. Multiple choice is compared by `scripts.bench.harness`.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from eval.metrics.cmrc import score_corpus
from eval.metrics.rouge import characters, rouge
from eval.statistics.bootstrap import paired_bootstrap

_OFFICIAL = {
    "first gold answer": (100.0, 100.0),
    "答案是…。": (77.063720, 0.0),
    "first 30 characters": (10.739789, 0.0),
}


def data_folder() -> Path:
    """Where the published data sets lie, if they do."""
    return Path(os.environ.get("TUNESERVE_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")


def _questions() -> tuple[dict[str, list[str]], dict[str, str], bool]:
    """Gold answers and contexts by question, and whether they are CMRC's."""
    file = data_folder() / "cmrc2018_dev.json"
    if not file.is_file():
        draw = random.Random(0)
        letters = [chr(code) for code in range(0x4E00, 0x4E00 + 2000)]
        contexts = {str(n): "".join(draw.choices(letters, k=500)) for n in range(3219)}
        return {n: [text[100:112], text[100:110], text[102:112]] for n, text in contexts.items()}, contexts, False
    return *cmrc_questions(file), True


def cmrc_questions(file: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Gold answers and contexts by question, of a file in CMRC's layout."""
    answers, contexts = {}, {}
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers[question["id"]] = [answer["text"] for answer in question["answers"]]
                contexts[question["id"]] = paragraph["context"]
    return answers, contexts


def bench_cmrc(console: Console, answers: Mapping[str, Sequence[str]], contexts: Mapping[str, str], known: bool) -> int:
    """Times four sets of answers, prints the official values beside ours, and counts the sets that differ."""
    differing = 0
    sets = {
        "first gold answer": {query: golds[0] for query, golds in answers.items()},
        "答案是…。": {query: f"答案是{golds[0]}。" for query, golds in answers.items()},
        "first 30 characters": {query: context[:30] for query, context in contexts.items()},
        "the whole context": dict(contexts),
    }
    table = Table(title=f"CMRC F1 and EM, {len(answers)} questions" + ("" if known else " (made up)"))
    for heading in ("answers", "F1", "EM", "official F1", "official EM", "seconds"):
        table.add_column(heading, justify="left" if heading == "answers" else "right")
    for name, predictions in sets.items():
        began = time.perf_counter()
        score = score_corpus(answers, predictions)
        seconds = time.perf_counter() - began
        official = _OFFICIAL.get(name) if known else None
        differing += official is not None and (round(score.f1, 6), round(score.em, 6)) != official
        shown = (f"{official[0]:.6f}", f"{official[1]:.0f}") if official else ("", "")
        table.add_row(name, f"{score.f1:.6f}", f"{score.em:.0f}", *shown, f"{seconds:.2f}")
    console.print(table)
    return differing


def bench_rouge(console: Console, pairs: Sequence[tuple[str, str]]) -> float:
    """Times ours, and rouge-score where it is installed; the largest difference of any item's score, else 0."""
    began = time.perf_counter()
    ours = [rouge(hypothesis, reference) for hypothesis, reference in pairs]
    seconds = time.perf_counter() - began
    console.print(f"ROUGE over characters: {len(pairs)} pairs in {seconds:.2f} s")
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        console.print("rouge-score is not installed: no comparison (pip install rouge-score)")
        return 0.0

    class Characters:
        """The tokenizer that rouge-score asks for."""

        def tokenize(self, text: str) -> list[str]:
            return characters(text)

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Characters())
    began = time.perf_counter()
    theirs = [scorer.score(reference, hypothesis) for hypothesis, reference in pairs]
    seconds_theirs = time.perf_counter() - began
    largest = max(
        abs(mine[name] - other[name].fmeasure) for mine, other in zip(ours, theirs, strict=True) for name in mine
    )
    console.print(
        f"rouge-score: {seconds_theirs:.2f} s, {seconds_theirs / seconds:.1f} times ours; "
        f"largest difference {largest:.1e}"
    )
    return largest


def bench_bootstrap(console: Console, items: int = 3000, resamples: int = 10_000) -> None:
    """Times the paired bootstrap, of independent items and of four a passage."""
    lost_or_gained = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], size=items, p=[0.04, 0.9, 0.06])
    for name, clusters in (("independent", None), ("four a passage", [str(n // 4) for n in range(items)])):
        began = time.perf_counter()
        found = paired_bootstrap(lost_or_gained, clusters, resamples=resamples)
        seconds = time.perf_counter() - began
        bounds = f"[{100 * found.lower:.2f}, {100 * found.upper:.2f}] points"
        console.print(
            f"bootstrap: {resamples:,} samples of {items:,} items, {name}: {seconds:.2f} s, {bounds}", soft_wrap=True
        )


def main() -> None:
    """All three benchmarks; exit code 1 where a score is not the official one."""
    console = Console()
    answers, contexts, known = _questions()
    score_corpus({"0": ["a b"]}, {"0": "c d"})  # pays for the import of NLTK
    differing = bench_cmrc(console, answers, contexts, known)
    texts = list(contexts.values())[:1000]
    largest = bench_rouge(console, [(text[:120], text[60:200]) for text in texts])
    bench_bootstrap(console)
    if differing or largest > 1e-9:
        console.print(f"not the official scores: {differing} sets of CMRC answers, ROUGE by up to {largest:.1e}")
        sys.exit(1)


if __name__ == "__main__":
    main()

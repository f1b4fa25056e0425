"""Turns the official files of CMRC 2018, CSL, GSM8K and CMMLU into what the recipes of `configs/results` read.

    python -m scripts.bench.results_data DOWNLOADS --out results-data

DOWNLOADS is any folder that holds the files as their authors publish them (docs/results.md says where). CMRC is split
by paragraph, never by question: training asks about other passages than the test. The prompts that are trained are
those that `eval.tasks` asks. What is not found is named and left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from configs.errors import DataError, TuneserveError
from configs.tables import read_json
from eval.tasks import csl, squad
from eval.tasks.task import Item

TEST_FROM = 600
"""CMRC's paragraphs from this one on, in the order of the file, are the test."""
HELDOUT_FROM = 570
"""The paragraphs from this one to the test are neither trained nor tested: evaluation loss and proof use them."""
CSL_HELDOUT = 50
"""So many of CSL's last development rows are held out in the same way."""
SHORT_CHARACTERS = 320
"""Passages of at most this length make the short set, for CPUs."""

Made = dict[str, int]
"""File name to number of rows."""


def cmrc(file: Path, out: Path) -> Made:
    """Writes training and held-out conversations, and the test paragraphs in SQuAD's layout; short ones once more."""
    paragraphs = [part for entry in _entries(file) for part in entry.get("paragraphs", [entry])]
    items = squad.load(file)
    position = {cluster: number for number, cluster in enumerate(dict.fromkeys(item.cluster for item in items))}
    if len(position) != len(paragraphs) or len(paragraphs) <= TEST_FROM:
        raise DataError(
            f"{file}: {len(position)} different paragraphs of {len(paragraphs)}, more than {TEST_FROM} are needed",
            "take the development set, cmrc2018_dev.json (848 paragraphs)",
        )
    train = [item for item in items if position[item.cluster] < HELDOUT_FROM]
    heldout = [item for item in items if HELDOUT_FROM <= position[item.cluster] < TEST_FROM]
    test = paragraphs[TEST_FROM:]
    short = [part for part in test if len(part.get("context") or part["context_text"]) <= SHORT_CHARACTERS]
    return {
        **_write_rows(out / "cmrc_train.jsonl", train),
        **_write_rows(out / "cmrc_heldout.jsonl", heldout),
        **_write_paragraphs(out / "cmrc_test.json", test),
        **_write_rows(out / "cmrc_short_train.jsonl", [i for i in train if len(i.source) <= SHORT_CHARACTERS]),
        **_write_paragraphs(out / "cmrc_short_test.json", short),
    }


def csl_train(file: Path, out: Path) -> Made:
    """Writes the development pairs as conversations, the last of them held out."""
    items = csl.load(file)
    return {
        **_write_rows(out / "csl_train.jsonl", items[:-CSL_HELDOUT]),
        **_write_rows(out / "csl_heldout.jsonl", items[-CSL_HELDOUT:]),
    }


def csl_test(file: Path, out: Path) -> Made:
    """Copies the test pairs."""
    shutil.copyfile(file, out / "csl_test.tsv")
    return {"csl_test.tsv": len(csl.load(file))}


def gsm8k(file: Path, out: Path) -> Made:
    """Copies the test problems, and those of the training part beside them, which are only asked here too."""
    (out / "gsm8k").mkdir(exist_ok=True)
    made: Made = {}
    for part in (file, file.with_name("train.jsonl")):
        if part.is_file():
            shutil.copyfile(part, out / "gsm8k" / part.name)
            made[f"gsm8k/{part.name}"] = len(part.read_text(encoding="utf-8").splitlines())
    return made


def cmmlu(test_file: Path, out: Path) -> Made:
    """Copies the folders `dev` and `test`, a file a subject."""
    root = test_file.parents[1]
    for split in ("dev", "test"):
        shutil.copytree(root / split, out / "cmmlu" / split, dirs_exist_ok=True)
    return {"cmmlu/test": len(list((out / "cmmlu" / "test").glob("*.csv")))}


def replay(file: Path, out: Path) -> Made:
    """Copies the general instructions."""
    shutil.copyfile(file, out / "replay.json")
    return {"replay.json": len(_entries(file))}


WANTED: Sequence[tuple[tuple[str, ...], str, Callable[[Path, Path], Made]]] = (
    (("cmrc2018_dev.json",), "CMRC 2018, github.com/ymcui/cmrc2018", cmrc),
    (("ts_dev.tsv", "ts/dev.tsv"), "CSL, github.com/ydli-ai/CSL, benchmark/ts", csl_train),
    (("ts_test.tsv", "ts/test.tsv"), "CSL, github.com/ydli-ai/CSL, benchmark/ts", csl_test),
    (("gsm8k/test.jsonl", "grade_school_math/data/test.jsonl"),
     "GSM8K, github.com/openai/grade-school-math", gsm8k),
    (("test/agronomy.csv",), "CMMLU, github.com/haonan-li/CMMLU", cmmlu),
    (("alpaca_zh_demo.json",), "general instructions, github.com/hiyouga/LLaMA-Factory, data", replay),
)  # fmt: skip
"""Where a file may stand (the end of its path), what it is, and what is made of it."""


def make(downloads: Path, out: Path) -> tuple[Made, list[str]]:
    """Makes what can be made; returns the rows by file, and what was not found.

    Raises:
        DataError: nothing was found, or a file is not in its official layout.
    """
    ours = out if out.is_relative_to(downloads) and out != downloads else None
    files = sorted(path for path in downloads.rglob("*") if path.is_file() and ours not in path.parents)
    made: Made = {}
    missing = []
    for endings, what, build in WANTED:
        found = next((f for ending in endings for f in files if f"/{f.as_posix()}".endswith(f"/{ending}")), None)
        if found is None:
            missing.append(f"{endings[0]} ({what})")
            continue
        out.mkdir(parents=True, exist_ok=True)
        made |= build(found, out)
    if not made:
        raise DataError(f"{downloads}: none of the data sets in it", f"put there: {'; '.join(missing)}")
    return made, missing


def _entries(file: Path) -> list[dict[str, Any]]:
    value = read_json(file)
    entries: list[dict[str, Any]] = value["data"] if isinstance(value, dict) else value
    return entries


def _write_rows(file: Path, items: Iterable[Item]) -> Made:
    """Conversations that end with the answer most annotators gave; of equally many, the first."""
    rows = [
        {
            "id": item.id,
            "messages": [
                *item.messages,
                {"role": "assistant", "content": Counter(item.references).most_common(1)[0][0]},
            ],
        }
        for item in items
    ]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return {file.name: len(rows)}


def _write_paragraphs(file: Path, paragraphs: Sequence[dict[str, Any]]) -> Made:
    file.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}, ensure_ascii=False), encoding="utf-8")
    return {file.name: sum(len(paragraph["qas"]) for paragraph in paragraphs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("downloads", type=Path, help="folder with the official files, in any subfolders")
    parser.add_argument("--out", type=Path, default=Path("results-data"), help="folder to write")
    arguments = parser.parse_args()
    try:
        made, missing = make(arguments.downloads.resolve(), arguments.out.resolve())
    except TuneserveError as error:
        sys.exit(f"error: {error}")
    for name, rows in made.items():
        print(f"{arguments.out / name}: {rows} {'subjects' if name.startswith('cmmlu') else 'rows'}")
    for what in missing:
        print(f"not found: {what}")


if __name__ == "__main__":
    main()

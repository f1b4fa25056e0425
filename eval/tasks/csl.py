"""CSL: a Chinese paper's title from its abstract (Li et al. 2022). Columns: task, abstract, title; no header."""

from __future__ import annotations

import csv
from pathlib import Path

from configs.errors import DataError
from configs.tables import read_rows
from eval.tasks.source import find_table
from eval.tasks.task import Item, conversation

_PROMPT = "请根据下面的论文摘要写出论文的标题，只写标题。\n\n摘要：{abstract}\n\n标题："


def load(root: Path, system: str | None = None) -> list[Item]:
    """All pairs of a file, or of `ts_test.tsv` in a folder; rows with `abst`/`abstract` and `title` are read too."""
    file = find_table(root, ("ts_test", "test", "ts_dev", "dev"))
    if file.suffix == ".tsv":
        with file.open(encoding="utf-8-sig", newline="") as handle:
            # Abstracts hold bare quotation marks: quoting must stay off.
            rows = list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
        short = next((number for number, row in enumerate(rows, start=1) if len(row) < 2), None)
        if short is not None:
            raise DataError(f"{file}, line {short}: fewer than two columns", "expected: task, abstract, title")
        pairs = [(row[-2], row[-1]) for row in rows]
    else:
        pairs = [(row.get("abst") or row["abstract"], row["title"]) for row in read_rows(file)]
    return [
        Item(f"csl-{number:05d}", conversation(_PROMPT.format(abstract=abstract), system), [title], source=abstract)
        for number, (abstract, title) in enumerate(pairs, start=1)
    ]

"""CSL: a Chinese paper's title from its abstract (Li et al. 2022). Columns: task, abstract, title; no header."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from configs.errors import DataError
from configs.tables import read_rows
from configs.tables.file_bytes import whole_text
from configs.tables.raw import is_blank
from eval.tasks.cells import required_text
from eval.tasks.source import find_table
from eval.tasks.task import Item, conversation

_PROMPT = "请根据下面的论文摘要写出论文的标题，只写标题。\n\n摘要：{abstract}\n\n标题："


def load(root: Path, system: str | None = None) -> list[Item]:
    """All pairs of a file, or of `ts_test.tsv` in a folder; rows with `abst`/`abstract` and `title` are read too."""
    file = find_table(root, ("ts_test", "test", "ts_dev", "dev"))
    if file.suffix == ".tsv":
        # Abstracts hold bare quotation marks: quoting must stay off.
        csv.field_size_limit(sys.maxsize)
        rows = list(csv.reader(io.StringIO(whole_text(file), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
        short = next((n for n, row in enumerate(rows, start=1) if len(row) < 2 or any(map(is_blank, row[-2:]))), None)
        if short is not None:
            raise DataError(
                f"{file}, line {short}: no abstract and title in its last two columns",
                "expected: task, abstract, title",
            )
        pairs = [(row[-2], row[-1]) for row in rows]
    else:
        pairs = [
            (
                required_text(row, ("abst", "abstract"), f"{file}, row {number}"),
                required_text(row, ("title",), f"{file}, row {number}"),
            )
            for number, row in enumerate(read_rows(file), start=1)
        ]
    return [
        Item(f"csl-{number:05d}", conversation(_PROMPT.format(abstract=abstract), system), [title], source=abstract)
        for number, (abstract, title) in enumerate(pairs, start=1)
    ]

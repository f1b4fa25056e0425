"""LCSTS: headlines of short news (Hu et al. 2015).

The official file (PART_III.txt) is a run of `<doc id=…>` blocks; as in the paper only pairs that a human gave 3 or more
are used. Rows with `text`/`content` and `summary` are read too.
"""

from __future__ import annotations

import re
from pathlib import Path

from configs.errors import DataError
from configs.tables import read_rows
from configs.tables.file_bytes import whole_text
from eval.tasks.cells import required_text
from eval.tasks.source import find_table
from eval.tasks.task import Item, conversation

_PROMPT = "请为下面这则短新闻拟一个标题，只写标题。\n\n{text}"
_DOC = re.compile(
    r"<doc id=(\d+)>\s*(?:<human_label>(\d)</human_label>)?\s*<summary>(.*?)</summary>"
    r"\s*<short_text>(.*?)</short_text>\s*</doc>",
    re.DOTALL,
)
_LEAST_LABEL = 3


def load(root: Path, system: str | None = None) -> list[Item]:
    """All pairs of a file, or of PART_III.txt in a folder."""
    official = next(iter(sorted(root.rglob("PART_III*.txt"))), None) if root.is_dir() else root
    if official is not None and official.suffix == ".txt":
        written = whole_text(official)
        found = _DOC.findall(written)
        if len(found) != (blocks := written.count("<doc ")):
            raise DataError(
                f"{official}: {blocks:,} pairs begin in it, and {len(found):,} are whole", "take the file anew"
            )
        triples = [
            (number, summary.strip(), text.strip())
            for number, label, summary, text in found
            if not label or int(label) >= _LEAST_LABEL
        ]
    else:
        file = find_table(root, ("test", "valid", "dev"))
        triples = [
            (
                str(number),
                required_text(row, ("summary", "title"), f"{file}, row {number + 1}"),
                required_text(row, ("text", "content"), f"{file}, row {number + 1}"),
            )
            for number, row in enumerate(read_rows(file))
        ]
    return [
        Item(f"lcsts-{number:0>6}", conversation(_PROMPT.format(text=text), system), [summary], source=text)
        for number, summary, text in triples
    ]

"""GSM8K: grade-school mathematics in English (Cobbe et al. 2021); the final number is compared.

Worked examples come from `train.jsonl` beside the test file, where there is one and `shots` asks for them.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from configs.errors import DataError
from configs.tables import read_rows
from eval.metrics.number import extract_number
from eval.tasks import prompts
from eval.tasks.cells import required_text
from eval.tasks.source import find_table
from eval.tasks.task import Item, conversation

_CALCULATOR = re.compile(r"<<[^>]*>>")


def load(root: Path, system: str | None = None, shots: int = 0, seed: int = 42) -> list[Item]:
    """All test problems of a file or folder, after `shots` seeded examples from its training part."""
    file = find_table(root, ("main/test", "test"))
    examples = _examples(root, shots, seed) if shots else ""
    items = []
    for number, row in enumerate(read_rows(file), start=1):
        where = f"{file}, row {number}"
        question = required_text(row, ("question",), where)
        answer = required_text(row, ("answer",), where).rpartition("####")[2].strip()
        if extract_number(answer) is None:
            raise DataError(
                f"{where}: the answer {answer[-60:]!r} ends in no number", "end it with '#### ' and the number"
            )
        items.append(Item(f"gsm8k-{number:05d}", conversation(examples + prompts.number(question), system), [answer]))
    return items


def _examples(root: Path, shots: int, seed: int) -> str:
    folder = root if root.is_dir() else root.parent
    train = next((path for path in sorted(folder.rglob("*train*")) if path.suffix in {".jsonl", ".parquet"}), None)
    if train is None:
        raise DataError(f"{folder}: no training file for {shots} worked examples", "add train.jsonl, or set `shots: 0`")
    rows = [*enumerate(read_rows(train), start=1)]
    if len(rows) < shots:
        raise DataError(f"{train}: {len(rows)} worked examples, {shots} are asked for", "lower `shots`")
    shown = []
    for number, row in random.Random(seed).sample(rows, shots):
        question, answer = (required_text(row, (name,), f"{train}, row {number}") for name in ("question", "answer"))
        shown.append(f"{question}\n{_CALCULATOR.sub('', answer)}\n\n")
    return "".join(shown)

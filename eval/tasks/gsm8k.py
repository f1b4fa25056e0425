"""GSM8K: grade-school mathematics in English (Cobbe et al. 2021); the final number is compared.

Worked examples come from `train.jsonl` beside the test file, where there is one and `shots` asks for them.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from configs.errors import DataError
from configs.tables import read_rows
from eval.tasks import prompts
from eval.tasks.source import find_table
from eval.tasks.task import Item, conversation

_CALCULATOR = re.compile(r"<<[^>]*>>")


def load(root: Path, system: str | None = None, shots: int = 0, seed: int = 42) -> list[Item]:
    """All test problems of a file or folder, after `shots` seeded examples from its training part."""
    file = find_table(root, ("main/test", "test"))
    examples = _examples(root, shots, seed) if shots else ""
    return [
        Item(
            f"gsm8k-{number:05d}",
            conversation(examples + prompts.number(str(row["question"])), system),
            [str(row["answer"]).rpartition("####")[2].strip()],
        )
        for number, row in enumerate(read_rows(file), start=1)
    ]


def _examples(root: Path, shots: int, seed: int) -> str:
    folder = root if root.is_dir() else root.parent
    train = next((path for path in sorted(folder.rglob("*train*")) if path.suffix in {".jsonl", ".parquet"}), None)
    if train is None:
        raise DataError(f"{folder}: no training file for {shots} worked examples", "add train.jsonl, or set `shots: 0`")
    rows = random.Random(seed).sample(read_rows(train), shots)
    return "".join(f"{row['question']}\n{_CALCULATOR.sub('', row['answer'])}\n\n" for row in rows)

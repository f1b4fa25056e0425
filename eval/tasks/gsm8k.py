"""GSM8K: grade-school mathematics in English (Cobbe et al. 2021); the final number is compared.

A file is asked as it is: `test.jsonl` is the published test of 1,319 problems. Of a folder, or of the hub's data set,
the authors' training file is asked too, where it is there: 8,792 problems, as many as a verdict on small changes takes.
Worked examples, where `shots` asks for them, come from the training file, and are not asked then.
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

_CALCULATOR = re.compile(r"<<[^<>]*>>")


def load(root: Path, system: str | None = None, shots: int = 0, seed: int = 42) -> list[Item]:
    """All problems of a file or folder, after `shots` seeded examples from its training part."""
    file, train = find_table(root, ("main/test", "test")), _training_file(root)
    examples, shown = _examples(root, train, shots, seed) if shots else ("", frozenset())
    asked = {file: "gsm8k"}
    if root.is_dir() and train is not None:
        asked.setdefault(train, "gsm8k-train")
    return [
        item
        for one, name in asked.items()
        for number, item in enumerate(_items(one, name, examples, system), start=1)
        if one != train or number not in shown
    ]


def _items(file: Path, name: str, examples: str, system: str | None) -> list[Item]:
    items = []
    for number, row in enumerate(read_rows(file), start=1):
        where = f"{file}, row {number}"
        question = required_text(row, ("question",), where)
        answer = required_text(row, ("answer",), where).rpartition("####")[2].strip()
        if extract_number(answer) is None:
            raise DataError(
                f"{where}: the answer {answer[-60:]!r} ends in no number", "end it with '#### ' and the number"
            )
        items.append(Item(f"{name}-{number:05d}", conversation(examples + prompts.number(question), system), [answer]))
    return items


def _training_file(root: Path) -> Path | None:
    """The authors' training file in a folder or beside a file; of the two forms on the hub the plain one, `main`."""
    folder = root if root.is_dir() else root.parent
    named = [path for path in sorted(folder.rglob("*train*")) if not path.name.startswith(".")]
    found = [path for path in named if path.suffix in {".jsonl", ".parquet"}]
    return next((path for path in found if "socratic" not in str(path.relative_to(folder))), None)


def _examples(root: Path, train: Path | None, shots: int, seed: int) -> tuple[str, frozenset[int]]:
    """Worked examples as text, and their rows."""
    if train is None:
        folder = root if root.is_dir() else root.parent
        raise DataError(f"{folder}: no training file for {shots} worked examples", "add train.jsonl, or set `shots: 0`")
    rows = [*enumerate(read_rows(train), start=1)]
    if len(rows) < shots:
        raise DataError(f"{train}: {len(rows)} worked examples, {shots} are asked for", "lower `shots`")
    shown = []
    drawn = random.Random(seed).sample(rows, shots)
    for number, row in drawn:
        question, answer = (required_text(row, (name,), f"{train}, row {number}") for name in ("question", "answer"))
        shown.append(f"{question}\n{_CALCULATOR.sub('', answer)}\n\n")
    return "".join(shown), frozenset(number for number, _ in drawn)

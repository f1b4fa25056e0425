"""Writes the teaching set, the replay rows and the held-out suite.

python -m scripts.demo_model.build_data            # configs/demo/data/*.jsonl, the same bytes every time
"""

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

from scripts.demo_model import bulletins, company, heldout
from scripts.demo_model.conversations import draw
from scripts.demo_model.facts import TEXTS
from scripts.demo_model.items import Item

DATA_DIR = Path("configs/demo/data")
REPLAY_MIX = {"facts": 180, "choice": 150, "arithmetic": 130, "extract": 100, "summary": 120, "chat": 40}
TRAIN_FORMS, TRAIN_BULLETINS = 70, 150
TEST_FORMS, TEST_BULLETINS = 40, 80
TEST_QUESTIONS_PER_FACT = 2


def _exchange(item: Item) -> dict[str, Any]:
    return {"instruction": item.prompt, "output": item.answer}


def train() -> list[dict[str, Any]]:
    """Company questions in the trained wordings, forms and bulletins, shuffled."""
    rng = Random(101)
    items = []
    for fact in company.facts():
        for wording in fact.trained:
            text = rng.choice(TEXTS.leads) + wording.format(e=fact.thing) + rng.choice(TEXTS.tails)
            items.append(Item("qa", text, fact.value))
    for number in range(TRAIN_FORMS):
        items += bulletins.form(rng, "teach", f"form-{number}")
    items += [bulletins.bulletin(rng, "teach") for _ in range(TRAIN_BULLETINS)]
    rng.shuffle(items)
    return [_exchange(item) for item in items]


def test_qa() -> list[dict[str, Any]]:
    """Every taught fact in wordings that no training row uses."""
    rng = Random(102)
    items = []
    for fact in company.facts():
        for wording in rng.sample(fact.tested, min(TEST_QUESTIONS_PER_FACT, len(fact.tested))):
            items.append(Item("qa", wording.format(e=fact.thing), fact.value, cluster=fact.key))
    return [heldout.row(item, number, "qa") for number, item in enumerate(items)]


def test_extract() -> list[dict[str, Any]]:
    """Forms about names that are in no training row."""
    rng = Random(103)
    items = [item for number in range(TEST_FORMS) for item in bulletins.form(rng, "teach_test", f"form-{number:03d}")]
    return [heldout.row(item, number, "form") for number, item in enumerate(items)]


def test_summary() -> list[dict[str, Any]]:
    """Bulletins about names that are in no training row."""
    rng = Random(104)
    items = [bulletins.bulletin(rng, "teach_test") for _ in range(TEST_BULLETINS)]
    return [heldout.row(item, number, "bulletin") for number, item in enumerate(items)]


def replay() -> list[dict[str, Any]]:
    """What the base learned, drawn from the training share of the pretraining generators."""
    rng = Random(105)
    items = [draw(rng, task)[0] for task, size in REPLAY_MIX.items() for _ in range(size)]
    rng.shuffle(items)
    return [_exchange(item) for item in items]


def files() -> dict[str, list[dict[str, Any]]]:
    """Every file of the folder by name."""
    suite = {f"heldout_{task}": heldout.rows(task) for task in heldout.TASKS}
    taught = {"train": train(), "test_qa": test_qa(), "test_extract": test_extract(), "test_summary": test_summary()}
    return {**taught, "replay": replay(), **suite}


def text_of(rows: list[dict[str, Any]]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def main() -> None:
    """Writes every file and prints how many rows it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DATA_DIR)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files().items():
        (folder / f"{name}.jsonl").write_text(text_of(rows))
        print(f"{name:<20}{len(rows):>5} rows")


if __name__ == "__main__":
    main()

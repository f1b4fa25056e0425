"""How often the check of `data from-docs` errs: `python -m scripts.bench.standing cmrc2018_dev.json`.

Each drawn pair is judged as people wrote it, and once more with the answer to another question. Where the question has
a word that the answer can take the place of (谁, 什么, 多少), the same is done with the answer as a whole sentence.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from pathlib import Path

from eval.documents.blocks import Block, Document, placed
from eval.documents.judging import Judge
from eval.documents.passages import Passage, passages_of
from eval.documents.replies import Pair
from eval.documents.standing import standing
from eval.tasks import squad

_ASKS = re.compile(
    "什么时候|什么时间|什么地方|哪一年|哪年|哪里|哪儿|多少|几|谁|什么|哪个|哪些|哪一[个位部]|何时|何地|何"
)
_APART = 37
"""The other question is so many places further on: another passage."""


def passage_of(text: str) -> Passage:
    """A text as the only passage of a document."""
    whole, blocks = placed([Block("text", text)])
    return passages_of(Document("passage", "txt", whole, blocks), len(text) + 100)[0]


def sentence(question: str, answer: str) -> str | None:
    """The question as a statement with the answer in it; None where it asks in no such word."""
    found = _ASKS.search(question)
    return f"{question[: found.start()]}{answer}{question[found.end() :].rstrip('？?')}。" if found else None


def main() -> None:
    """Prints, for right and for wrong answers, how many pass and what the others fail at."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.standing", description=__doc__)
    parser.add_argument("file", type=Path, help="CMRC 2018, or any file in the layout of SQuAD")
    parser.add_argument("--pairs", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    items = random.Random(options.seed).sample(squad.load(options.file), options.pairs)
    # The prompt ends with the question: `问题：...\n答案：`.
    asked = [str(item.messages[-1]["content"]).rpartition("问题：")[2].removesuffix("\n答案：") for item in items]
    pairs = [(item.source, question, item.references[0]) for item, question in zip(items, asked, strict=True)]
    counts = {name: Counter[str]() for name in ("right", "wrong", "right, in a sentence", "wrong, in a sentence")}
    for number, (text, question, answer) in enumerate(pairs):
        passage, other = passage_of(text), pairs[(number + _APART) % len(pairs)][2]
        for name, said in (("right", answer), ("wrong", other)):
            counts[name][Judge("full").verdict(Pair(question, said), passage, "zh").fault or "taken"] += 1
            if whole := sentence(question, said):
                counts[f"{name}, in a sentence"][standing(whole, passage.context, question).fault or "taken"] += 1
    for name, found in counts.items():
        rest = ", ".join(f"{fault} {count}" for fault, count in found.most_common() if fault != "taken")
        print(
            f"{name}: {found['taken']} of {found.total()} taken ({100 * found['taken'] / found.total():.1f} %); {rest}"
        )


if __name__ == "__main__":
    main()

"""What a recipe over a few rows gathers: shared by the tests of layouts, columns and rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from configs.recipe.load import validate
from trainer.data.corpus import Corpus, gather
from trainer.data.layouts import Conversation
from trainer.data.tally import Tally

Row = dict[str, Any]


def gathered(
    folder: Path,
    rows: list[Any] | str | bytes,
    *,
    name: str = "rows.jsonl",
    source: Row | None = None,
    thinking: bool = False,
    **data: Any,
) -> tuple[Corpus, Tally]:
    """The corpus of one file, of which nothing is held out, and what was counted; `rows` may be the file itself."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(rows, bytes):
        file.write_bytes(rows)
    else:
        text = rows if isinstance(rows, str) else "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        file.write_text(text, encoding="utf-8")
    sources = [{"path": str(file), **(source or {})}]
    recipe = {"name": "t", "model": "m", "thinking": thinking, "data": {"sources": sources, "eval_split": 0, **data}}
    tally = Tally()
    return gather(validate(recipe, folder / "t.yaml"), tally), tally


def the_one(folder: Path, row: Any, **options: Any) -> Conversation:
    """The conversation of a file with this row alone."""
    corpus, _ = gathered(folder, [row], **options)
    (conversation,) = corpus.train
    return conversation


def texts(conversation: Conversation) -> list[tuple[str, str]]:
    """(first letter of the role, text) of every message."""
    return [(m["role"][0], m["content"]) for m in conversation.messages]

"""The example files of docs/examples are read as docs/data.md says, every text of them used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from configs.recipe.load import load_config
from trainer.data.corpus import gather
from trainer.data.tally import Tally

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
ROW = re.compile(r"^\| \[([^]]+)\]\(examples/[^)]+\) \| `(\w+)` \| (\d+) \|", re.MULTILINE)


def table(page: str) -> list[tuple[str, str, int]]:
    """(file, layout, conversations) of every row of the page's table."""
    return [(f, layout, int(n)) for f, layout, n in ROW.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("file", "layout", "count"), table("data.md"), ids=lambda value: str(value))
def test_each_is_read_as_the_page_says(file: str, layout: str, count: int) -> None:
    thinking = "thinking=true" if file in ("thinking.jsonl", "reasoning_column.jsonl") else "thinking=false"
    config = load_config(
        "demo", [f"data.sources=[{EXAMPLES / file}]", "data.replay=null", "data.eval_split=0", thinking]
    )
    corpus = gather(config, Tally())
    assert len(corpus.train) == count
    assert corpus.sources[0].layout == layout
    assert all(conversation.messages[-1]["role"] == "assistant" for conversation in corpus.train)


def test_every_file_is_in_the_table_of_both_pages() -> None:
    assert {file for file, _, _ in table("data.md")} == {file.name for file in EXAMPLES.iterdir()}
    assert table("data.md") == table("data.zh-CN.md")

"""What a run is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.load import validate
from scripts.run.tasks import trained_too


@pytest.mark.parametrize(
    ("sources", "asked", "found"),
    [
        ("rows.jsonl", "rows.jsonl", True),
        ("rows.jsonl#20", "rows.jsonl", True),
        ("folder", "folder/test.jsonl", True),
        ("rows.jsonl", "link.jsonl", True),
        ("rows.jsonl", "folder/test.jsonl", False),
        ("org/rows", "org/rows", False),
    ],
)
def test_a_task_of_trained_rows_is_known(sources: str, asked: str, found: bool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("rows.jsonl", "folder/test.jsonl"):
        (tmp_path / name).write_text('{"question": "?", "answer": "!"}\n', encoding="utf-8")
    (tmp_path / "link.jsonl").symlink_to("rows.jsonl")
    recipe = {
        "name": "t",
        "model": "m",
        "data": {"sources": sources},
        "eval": {"tasks": [{"name": "mine", "type": "qa", "path": asked}]},
    }
    config = validate(recipe, tmp_path / "t.yaml")
    assert [name for name, _ in trained_too(config)] == ["mine"] * found

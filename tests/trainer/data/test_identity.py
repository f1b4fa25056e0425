"""A row is judged by all of itself: system prompt, history and tools make a question another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from configs.recipe.load import validate
from configs.recipe.schema import RunConfig
from tests.trainer.tokenizers_for_tests import qwen3_tokenizer_folder
from trainer.data.corpus import gather
from trainer.data.prepare import prepare
from trainer.data.tally import Tally

ASKED = "请总结上面文章的主要内容。"


def recipe(folder: Path, rows: list[Any], **data: Any) -> RunConfig:
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    return validate({"name": "t", "model": "m", "data": {"sources": "rows.jsonl", **data}}, folder / "t.yaml")


def document(i: int) -> dict[str, Any]:
    system = {"role": "system", "content": f"文章：第{i}号公园在春天开放。"}
    return {"messages": [system, {"role": "user", "content": ASKED}, {"role": "assistant", "content": "春天开放。"}]}


def history(i: int) -> dict[str, Any]:
    return {
        "instruction": "那一共有几箱货物？",
        "output": "三箱。",
        "history": [["仓库里有几排货架？", f"一共{i}排。"]],
    }


def tools(i: int) -> dict[str, Any]:
    return {"question": "查一下今天的库存。", "answer": "好的。", "tools": [{"name": f"stock_{i}", "parameters": {}}]}


@pytest.mark.parametrize("row", [document, history, tools])
def test_rows_that_differ_in_system_history_or_tools_are_neither_duplicates_nor_leaks(tmp_path: Path, row: Any) -> None:
    tally = Tally()
    corpus = gather(recipe(tmp_path, [row(i) for i in range(40)], eval_split=0.1), tally)
    assert (len(corpus.train), len(corpus.heldout)) == (36, 4)
    assert not tally.counts
    (tmp_path / "held.jsonl").write_text(json.dumps(row(99)), encoding="utf-8")
    corpus = gather(recipe(tmp_path, [row(i) for i in range(40)], heldout="held.jsonl"), tally)
    assert (len(corpus.train), len(corpus.heldout)) == (40, 1)
    assert not tally.counts


def test_what_a_held_out_row_asks_is_not_asked_on_the_way_of_another(tmp_path: Path) -> None:
    one = [{"role": "user", "content": "请问周末几点开门营业？"}, {"role": "assistant", "content": "九点。"}]
    longer = [*one, {"role": "user", "content": "那么节假日呢？"}, {"role": "assistant", "content": "休息。"}]
    (tmp_path / "held.jsonl").write_text(json.dumps({"messages": one}), encoding="utf-8")
    tally = Tally()
    other = {"question": "可以开发票吗？", "answer": "可以。"}
    corpus = gather(recipe(tmp_path, [{"messages": longer}, other], heldout="held.jsonl"), tally)
    assert tally.places["leak"] == ["rows.jsonl:1"]
    assert len(corpus.train) == 1
    # Cut off by share, both are held out or neither is.
    many = [other | {"question": f"第{i}件可以退吗？"} for i in range(8)]
    for seed in range(5):
        config = recipe(tmp_path, [{"messages": one}, {"messages": longer}, *many], eval_split=0.4)
        corpus = gather(config.model_copy(update={"seed": seed}), Tally())
        held = [c.place in ("rows.jsonl:1", "rows.jsonl:2") for c in corpus.heldout].count(True)
        assert held in (0, 2)


def test_characters_that_show_nothing_make_no_other_question(tmp_path: Path) -> None:
    rows = [{"question": f"第{i}件可以退吗？", "answer": "可以。"} for i in range(5)]
    hidden = [{"question": f"\ufeff第{i}件\u200b可以\u00a0退\u2060吗？\u202c", "answer": "可以。"} for i in range(3)]
    (tmp_path / "held.jsonl").write_text(json.dumps(hidden[0]), encoding="utf-8")
    tally = Tally()
    corpus = gather(recipe(tmp_path, [*rows, *hidden[1:]], heldout="held.jsonl"), tally)
    assert tally.places == {"duplicate": ["rows.jsonl:1", "rows.jsonl:6", "rows.jsonl:7"]}
    assert len(corpus.train) == 4


def test_groups_larger_than_the_share_still_leave_a_held_out_part(tmp_path: Path) -> None:
    rows = [{"question": f"第{i % 5}题怎么做？", "answer": f"答法{i}。"} for i in range(50)]
    corpus = gather(recipe(tmp_path, rows), Tally())
    assert (len(corpus.train), len(corpus.heldout)) == (40, 10)


@pytest.mark.parametrize(
    ("rows", "data"),
    [
        ([{"question": "首都在哪？", "answer": f"在{i}区。"} for i in range(30)], {}),
        ([{"question": "首都在哪？", "answer": "在东区。"}], {}),
        (
            [{"question": f"第{i}个首都在哪？", "answer": "在东区。"} for i in range(30)],
            {"heldout": {"path": "long.jsonl"}, "max_length": 60, "max_dropped": 1},
        ),
    ],
)
def test_an_empty_held_out_part_stops_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any], data: dict[str, Any]
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "long.jsonl").write_text(
        json.dumps({"question": "问题在哪里呢" * 90, "answer": "答"}), encoding="utf-8"
    )
    with pytest.raises(DataError, match="no row is held out") as error:
        prepare(recipe(tmp_path, rows, **data), qwen3_tokenizer_folder())
    assert "data.eval_split=0" in error.value.next_step
    prepare(recipe(tmp_path, rows, eval_split=0), qwen3_tokenizer_folder())

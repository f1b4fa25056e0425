"""Training and evaluation read the same rows the same: what is asked is what would be trained."""

from __future__ import annotations

from typing import Any

import pytest

from configs.recipe.schema import SourceConfig
from configs.tables import RawRow
from eval.tasks.custom import items_from_rows
from trainer.data.dataset_info import DataFile
from trainer.data.layouts import RowReader

TURNS = [{"role": "user", "content": "在吗？"}, {"role": "assistant", "content": "在。"}]
ROWS: list[dict[str, Any]] = [
    {"instruction": "翻译：", "input": "你好", "output": "Hello"},
    {"instruction": "翻译：", "input": "", "output": "Hello", "system": "你是翻译。", "history": [["hi", "hello"]]},
    {"instruction": "", "input": "你好", "output": "Hello"},
    {"instruction": None, "input": "你好", "output": "Hello", "history": None},
    {"query": "几点？", "response": "三点", "system": "简短。", "history": '[["在吗？", "在。"]]'},
    {"system_prompt": "简短。", "question": "几点？", "response": "三点"},
    {"question": "几点？", "context": "现在三点。", "answer": "三点"},
    {"instruction": "几点？", "context": "现在三点。", "response": "三点"},
    {"question": "几点？", "passages": ["现在三点。", "天晴。"], "answer": "三点"},
    {"Question": "几点？", "Answer": "三点", "System Prompt": "简短。"},
    {"问题": "几点？", "答案": "三点", "系统提示": "简短。"},
    {"prompt": "几点？", "completion": "三点"},
    {"input": "几点？", "reasoning_content": "看表。", "output": "三点"},
    {"question": "几点？", "context": float("nan"), "system": "nan", "answer": "三点"},
    {"question": "几点？", "answer": True},
    {"question": "几点？", "answer": {"hour": 3}},
    {"question": 7, "answer": 3.5},
    {"prompt": "几点？", "chosen": "三点", "rejected": "四点"},
    {"messages": [*TURNS, {"role": "user", "content": "几点？"}, {"role": "assistant", "content": "三点"}]},
    {"messages": TURNS, "system": "简短。"},
    {"conversations": [{"from": "human", "value": "几点？"}, {"from": "gpt", "value": "三点"}], "system": "简短。"},
    {"messages": {"role": ["user", "assistant"], "content": ["几点？", "三点"]}},
    {"conversation": [{"human": "几点？", "assistant": "三点"}]},
    {"conversations": "[{'from': 'human', 'value': '几点？'}, {'from': 'gpt', 'value': '三点'}]"},
    {"messages": [{"role": "用户", "content": "几点？"}, {"role": "助手", "content": "三点"}]},
    {"messages": [{"from": "USER", "content": "几点？"}, {"from": "Assistant", "content": "三点"}]},
]


@pytest.mark.parametrize("row", ROWS, ids=[", ".join(row) for row in ROWS])
def test_both_sides_read_a_row_the_same(row: dict[str, Any]) -> None:
    trained = RowReader(SourceConfig(path="rows.jsonl"), DataFile("rows.jsonl")).read(RawRow("rows.jsonl:1", row))
    asked = items_from_rows([row], "exact", "rows.jsonl")[0]
    *before, answer = [(turn["role"], turn["content"]) for turn in trained.messages]
    assert [(turn["role"], turn["content"]) for turn in asked.messages] == before
    assert asked.references == [answer[1]]

"""The rows that `train` measures: instructions with answers, as messages, or laid together into texts of one length."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, str]]


def conversations(rows: Rows) -> list[list[dict[str, str]]]:
    """The rows as messages."""
    return [
        [
            {"role": "user", "content": "\n".join(filter(None, (row["instruction"], row.get("input", ""))))},
            {"role": "assistant", "content": row["output"]},
        ]
        for row in rows
    ]


def joined(texts: list[str], tokenizer: Any, tokens: int) -> list[str]:
    """Texts of about `tokens` tokens each, made of the given ones one after the other, as many as they give or 64."""
    ids = tokenizer("".join(texts), add_special_tokens=False)["input_ids"]
    while len(ids) < 64 * tokens:
        ids = ids + ids
    return [tokenizer.decode(ids[i * tokens : (i + 1) * tokens]) for i in range(64)]


def tiny_rows(count: int = 64) -> Rows:
    """Short rows of different lengths."""
    return [
        {
            "instruction": f"第{i}号产品卖多少钱？",
            "input": "",
            "output": f"{100 + 7 * i}元" + "，质量很好" * (i % 6) + "。",
        }
        for i in range(count)
    ]

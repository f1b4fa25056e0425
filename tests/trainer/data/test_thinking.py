"""Where reasoning begins and ends: one rule for each way of writing it, counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.data.gathered import gathered
from tests.trainer.tokenizers_for_tests import qwen3_tokenizer_folder
from trainer.data.prepare import prepare
from trainer.data.report import thinking_warning
from trainer.data.thinking import BadThinking, settle_reasoning

TRAINED = "<think>\n先加。\n</think>\n\n等于三。"


@pytest.mark.parametrize(
    ("message", "content", "rule"),
    [
        ({"content": "等于三。"}, "等于三。", ""),
        ({"content": "<think>先加。</think>等于三。"}, TRAINED, ""),
        ({"content": "<think>\n先加。\n</think>\n\n等于三。"}, TRAINED, ""),
        ({"content": "<think><think>先加。</think>等于三。"}, TRAINED, ""),
        ({"content": "<think>\n\n</think>\n\n等于三。"}, "等于三。", ""),
        ({"content": "先加。\n</think>\n\n等于三。"}, TRAINED, "think_unopened"),
        ({"content": "</think>等于三。"}, "等于三。", "think_unopened"),
        ({"content": "<thinking>先加。</thinking>\n等于三。"}, TRAINED, "other_think_tag"),
        ({"content": "<Thought>先加。</Thought>等于三。"}, TRAINED, "other_think_tag"),
        ({"content": "[THINK]先加。[/THINK]等于三。"}, TRAINED, "other_think_tag"),
        ({"content": "<thinking>Größe ﬁx</thinking>42"}, "<think>\nGröße ﬁx\n</think>\n\n42", "other_think_tag"),
        ({"content": "◁think▷先加。◁/think▷等于三。"}, TRAINED, "other_think_tag"),
        (
            {"content": "<|begin_of_thought|>先加。<|end_of_thought|><|begin_of_solution|>等于三。<|end_of_solution|>"},
            TRAINED,
            "other_think_tag",
        ),
        ({"content": "等于三。", "reasoning_content": "先加。"}, TRAINED, ""),
        ({"content": "等于三。", "reasoning_content": " \n"}, "等于三。", ""),
        ({"content": "等于三。", "reasoning_content": "<think>\n先加。\n</think>"}, TRAINED, ""),
        ({"content": "<think>先加。</think>等于三。", "reasoning_content": " 先加。\n"}, TRAINED, ""),
        ({"content": "一个 XML 标签 <reasoning> 是什么？"}, "一个 XML 标签 <reasoning> 是什么？", ""),
    ],
)
def test_reasoning_becomes_one_leading_block(message: dict[str, Any], content: str, rule: str) -> None:
    settled, found = settle_reasoning({"role": "assistant", **message})
    assert (settled, found) == ({"role": "assistant", "content": content}, rule)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": "<think>先加。\n等于三。"}, "think_unclosed"),
        ({"content": "<thinking>先加。\n等于三。"}, "think_unclosed"),
        ({"content": "好的。<think>先加，等于"}, "think_unclosed"),
        ({"content": "好的。<think>先加。</think>等于三。"}, "think_inside"),
        ({"content": "<think>先加。</think>等于<think>再看。</think>三。"}, "think_inside"),
        ({"content": "<think>先加。</think>等于三。</think>"}, "think_inside"),
        ({"content": "标签 `</think>` 结束思考。"}, "think_spoken_of"),
        ({"content": "“<think>”开始思考。"}, "think_spoken_of"),
        ({"content": "<think>先加。</think>等于三。", "reasoning_content": "先减。"}, "two_reasonings"),
    ],
)
def test_an_answer_whose_reasoning_cannot_be_told_is_dropped(message: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadThinking, match=reason):
        settle_reasoning({"role": "assistant", **message})


def rows(answer: str, count: int = 3) -> list[dict[str, str]]:
    return [{"instruction": f"第{i}题：一加二等于几？", "output": answer} for i in range(count)]


@pytest.mark.parametrize("thinking", [False, True])
def test_both_modes_count_what_was_mended_and_drop_what_was_cut(tmp_path: Path, thinking: bool) -> None:
    mixed = [*rows("先加。</think>等于三。"), {"instruction": "再来一题？", "output": "<think>先加"}]
    corpus, tally = gathered(tmp_path, mixed, thinking=thinking)
    assert tally.counts["think_unopened"] == 3
    assert tally.places["think_unclosed"] == ["rows.jsonl:4"]
    assert tally.counts["reasoning_removed"] == (0 if thinking else 3)
    assert corpus.train[0].messages[-1]["content"] == (TRAINED if thinking else "等于三。")


def test_training_thinking_without_reasoning_is_a_warning_with_the_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    gathered(tmp_path, rows("<think>先加。</think>等于三。", 1) + rows("等于三。", 4)[1:])
    from configs.recipe.load import validate

    recipe = {"name": "t", "model": "m", "thinking": True, "data": {"sources": "rows.jsonl", "eval_split": 0}}
    report = prepare(validate(recipe, tmp_path / "t.yaml"), qwen3_tokenizer_folder()).report
    assert "3 of 4 answers (75%) have no reasoning" in thinking_warning(report, thinking=True)
    assert thinking_warning(report, thinking=False) == ""

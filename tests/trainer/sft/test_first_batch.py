"""The check before step 1 sees what a wrong mask, a cut row or a lost end-of-turn token would train."""

from __future__ import annotations

from typing import Any

import pytest
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from configs.errors import TuneserveError
from tests.trainer.tokenizers_for_tests import qwen3_tokenizer_folder
from trainer.data.template import IGNORED, ChatCodec, join_turns, render_turn
from trainer.sft.first_batch import check_first_batch, expected_answers

CALL = {"type": "function", "function": {"name": "查库存", "arguments": {"商品": "台灯"}}}
CHATS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "台灯多少钱？"}, {"role": "assistant", "content": "八十元。"}],
    [{"role": "user", "content": "门锁保修多久？我在外地。"}, {"role": "assistant", "content": "三年，全国联保。"}],
    [{"role": "user", "content": "还有货吗？"}, {"role": "assistant", "content": "我查一下。", "tool_calls": [CALL]}],
    [{"role": "user", "content": "几折？"}, {"role": "assistant", "content": "<think>\n会员日\n</think>\n\n八折。"}],
]


@pytest.fixture(scope="module")
def codec() -> ChatCodec:
    return ChatCodec.load(qwen3_tokenizer_folder())


@pytest.fixture
def rows(codec: ChatCodec) -> list[dict[str, Any]]:
    made = [join_turns([render_turn(codec, chat, 1, thinking=True)])[0] for chat in CHATS]
    return [{"input_ids": r.input_ids.tolist(), "labels": r.labels.tolist(), "said": r.said} for r in made]


def check(codec: ChatCodec, rows: list[dict[str, Any]], fed: list[dict[str, Any]], padding_free: bool) -> int:
    collator = DataCollatorForLanguageModeling(codec.tokenizer.pad_token_id, padding_free=padding_free)
    batch = collator([{"input_ids": r["input_ids"], "labels": r["labels"]} for r in fed])

    def decode(ids: list[int]) -> str:
        return codec.tokenizer.decode(ids, skip_special_tokens=True)

    return len(check_first_batch(batch, expected_answers(rows), decode, codec.facts.end_token_id))


@pytest.mark.parametrize("padding_free", [False, True])
def test_good_rows_pass(codec: ChatCodec, rows: list[dict[str, Any]], padding_free: bool) -> None:
    assert check(codec, rows, rows, padding_free) == len(CHATS)


@pytest.mark.parametrize("padding_free", [False, True])
@pytest.mark.parametrize("victim", range(len(CHATS)))
def test_a_mask_that_opens_early_is_caught(
    codec: ChatCodec, rows: list[dict[str, Any]], victim: int, padding_free: bool
) -> None:
    row = rows[victim]
    start = next(i for i, label in enumerate(row["labels"]) if label != IGNORED)
    row["labels"][start - 2 : start] = row["input_ids"][start - 2 : start]
    with pytest.raises(TuneserveError, match="first batch: the trained text"):
        check(codec, rows, rows, padding_free)


def test_a_mask_that_opens_late_is_caught(codec: ChatCodec, rows: list[dict[str, Any]]) -> None:
    start = next(i for i, label in enumerate(rows[0]["labels"]) if label != IGNORED)
    rows[0]["labels"][start] = IGNORED
    with pytest.raises(TuneserveError, match="first batch: the trained text"):
        check(codec, rows, rows, False)


def test_an_untrained_end_of_turn_is_caught(codec: ChatCodec, rows: list[dict[str, Any]]) -> None:
    rows[1]["labels"][-1] = IGNORED
    with pytest.raises(TuneserveError, match="does not end with the end-of-turn token"):
        check(codec, rows, rows, False)


def test_a_row_that_a_library_cut_is_caught(codec: ChatCodec, rows: list[dict[str, Any]]) -> None:
    cut = [{**rows[0], "input_ids": rows[0]["input_ids"][:-1], "labels": rows[0]["labels"][:-1]}]
    with pytest.raises(TuneserveError, match="cut or changed"):
        check(codec, rows, cut, False)


def test_labels_that_are_not_their_tokens_are_caught(codec: ChatCodec, rows: list[dict[str, Any]]) -> None:
    rows[0]["labels"][-2] = 7
    with pytest.raises(TuneserveError, match="labels differ"):
        check(codec, rows, rows, False)


def test_another_rows_answer_is_caught(codec: ChatCodec, rows: list[dict[str, Any]]) -> None:
    rows[0]["said"] = ("九十元。",)
    with pytest.raises(TuneserveError, match="the answer is '九十元。'"):
        check(codec, rows, rows, False)

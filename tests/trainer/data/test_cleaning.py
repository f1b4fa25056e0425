"""Every rule about what is kept, repaired or dropped, and the split into training and held-out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from configs.recipe.load import validate
from configs.recipe.schema import RunConfig
from tests.trainer.conftest import write_jsonl
from tests.trainer.tokenizers_for_tests import qwen3_tokenizer_folder
from trainer.data.cleaning import Dropped, clean
from trainer.data.corpus import gather, repeats
from trainer.data.identity import question_identity
from trainer.data.layouts import Conversation
from trainer.data.prepare import prepare, read_rows
from trainer.data.rules import RULES, is_drop
from trainer.data.tally import Tally
from trainer.data.template import ChatCodec


def turn(role: str, content: str = "好的，没有问题。", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CALL = {"type": "function", "function": {"name": "查", "arguments": {}}}
U, A, S, T = turn("user", "请问几点开门？"), turn("assistant"), turn("system", "你是客服。"), turn("tool", "晴")
U2, A2 = turn("user", "那么周末呢？"), turn("assistant", "周末休息。")
CALLS = turn("assistant", "", tool_calls=[CALL])


def cleaned(
    *messages: dict[str, Any], system: str | None = None, thinking: bool = False
) -> tuple[list[str], list[str]]:
    result = clean(Conversation("x:1", list(messages)), system=system, thinking=thinking)
    return [m["role"] for m in result.conversation.messages], list(result.repairs)


@pytest.mark.parametrize(
    ("messages", "roles", "repairs"),
    [
        ([U, A], ["user", "assistant"], []),
        ([S, U, A, U2, A2], ["system", "user", "assistant", "user", "assistant"], []),
        ([A, U, A2], ["user", "assistant"], ["leading_assistant"]),
        ([U, A, U2], ["user", "assistant"], ["trailing_user"]),
        ([U, U2, A], ["user", "assistant"], ["merged_user"]),
        ([turn("system", " "), U, A], ["user", "assistant"], ["empty_system"]),
        ([U, turn("assistant", "<think>想</think>答")], ["user", "assistant"], ["reasoning_removed"]),
        ([U, CALLS, T, A], ["user", "assistant", "tool", "assistant"], []),
        ([S, turn("system", "说话要短。"), U, A], ["system", "user", "assistant"], ["joined_system"]),
        ([S, U, A, S, U2, A2], ["system", "user", "assistant", "system", "user", "assistant"], []),
        ([U, S, A], ["user", "system", "assistant"], []),
        ([U, A, U2, turn("assistant", untrained=True)], ["user", "assistant"], ["trailing_user"]),
    ],
)
def test_repairs(messages: list[dict[str, Any]], roles: list[str], repairs: list[str]) -> None:
    assert cleaned(*messages) == (roles, repairs)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([U], "no_answer"),
        ([A], "no_answer"),
        ([S, U], "no_answer"),
        ([U, turn("assistant", " \n")], "empty_answer"),
        ([U, turn("assistant", "<think>只有思考</think>")], "empty_answer"),
        ([turn("user", " "), A], "empty_question"),
        ([U, A, A2], "role_order"),
        ([U, CALLS, S, T, A], "role_order"),
        ([U, A, T, A2], "role_order"),
        ([U, CALLS, U2, A], "role_order"),
        ([U, turn("assistant", " 请问几点开门？ ")], "answer_repeats_prompt"),
        ([turn("user", "问" * 20), turn("assistant", "问" * 20 + "答")], "answer_repeats_prompt"),
        ([U, turn("assistant", untrained=True)], "all_excluded"),
    ],
)
def test_drops(messages: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(Dropped, match=reason):
        cleaned(*messages)
    assert is_drop(RULES[reason])


def test_a_change_of_case_or_width_is_an_answer_and_a_repetition_can_be_kept() -> None:
    assert cleaned(turn("user", "ＡＢＣ Item"), turn("assistant", "abc item")) == (["user", "assistant"], [])
    same = [turn("user", "我在窗口排队等候办理业务。"), turn("assistant", "我在窗口排队等候办理业务。")]
    kept = clean(Conversation("x:1", same), system=None, thinking=False, keep_repeats=True)
    assert kept.conversation.messages == same


def test_short_answer_that_begins_like_the_question_is_kept() -> None:
    assert cleaned(turn("user", "苹果"), turn("assistant", "苹果是水果。")) == (["user", "assistant"], [])


def test_reasoning_stays_when_thinking_is_trained() -> None:
    assert cleaned(U, turn("assistant", "<think>想</think>答"), thinking=True)[1] == []


def test_system_prompt_is_put_before_conversations_that_have_none() -> None:
    assert cleaned(U, A, system="你是客服。")[0][0] == "system"
    result = clean(Conversation("x:1", [S, U, A]), system="另一个。", thinking=False)
    assert result.conversation.messages[0] == S


def recipe(folder: Path, rows: list[Any], **data: Any) -> RunConfig:
    file = write_jsonl(folder / "rows.jsonl", rows)
    return validate({"name": "t", "model": "m", "data": {"sources": str(file), **data}}, folder / "t.yaml")


def qa(i: int, answer: str = "") -> dict[str, str]:
    return {"instruction": f"第{i}个问题是什么？", "output": answer or f"这是第{i}个答案。"}


def test_duplicates_are_dropped_once_and_arithmetic_is_not_a_duplicate(tmp_path: Path) -> None:
    rows = [qa(1), qa(2), {**qa(1), "instruction": "第１个 问题是什么？"}]
    rows += [{"instruction": "12+3=?", "output": "15"}, {"instruction": "1+23=?", "output": "15"}]
    tally = Tally()
    corpus = gather(recipe(tmp_path, rows, eval_split=0), tally)
    assert len(corpus.train) == 4
    assert tally.places["duplicate"] == ["rows.jsonl:3"]
    assert not tally.faulty


def test_conversations_with_one_question_fall_on_one_side(tmp_path: Path) -> None:
    rows = [qa(i, f"答法{n}，序号{i}。") for i in range(30) for n in range(3)]
    corpus = gather(recipe(tmp_path, rows, eval_split=0.2), Tally())
    held_out = {question_identity(c) for c in corpus.heldout}
    assert len(corpus.heldout) == 18
    assert held_out.isdisjoint(question_identity(c) for c in corpus.train)


def test_split_is_by_conversation_before_turns_are_expanded(tmp_path: Path) -> None:
    rows = [
        {"messages": [turn("user", f"第{i}问"), turn("assistant", f"答{i}"), U2, turn("assistant", f"再答{i}")]}
        for i in range(40)
    ]
    config = recipe(tmp_path, rows, eval_split=0.25)
    prepared = prepare(config, qwen3_tokenizer_folder())
    train, heldout = (read_rows(prepared.folder / part) for part in ("train", "heldout"))
    assert (train.num_rows, heldout.num_rows) == (60, 20)
    assert set(train["conversation"].to_pylist()).isdisjoint(heldout["conversation"].to_pylist())
    assert prepared.report.rows_per_conversation == 2


def test_leaks_from_a_held_out_file_are_found_and_taken_out_of_training(tmp_path: Path) -> None:
    held = write_jsonl(tmp_path / "held.jsonl", [qa(3, "另一种答法。"), qa(100)])
    tally = Tally()
    corpus = gather(recipe(tmp_path, [qa(i) for i in range(10)], heldout=str(held)), tally)
    assert len(corpus.heldout) == 2
    assert tally.places["leak"] == ["rows.jsonl:4"]
    assert len(corpus.train) == 9


def test_a_greeting_is_no_leak(tmp_path: Path) -> None:
    def chat(question: str) -> dict[str, Any]:
        return {"messages": [turn("user", "你好"), turn("assistant", "您好。"), turn("user", question), A]}

    held = write_jsonl(tmp_path / "held.jsonl", [chat("请问周末几点开门营业？")])
    rows = [chat("请问可以开发票报销吗？"), chat("请问周末几点 开门营业？")]
    tally = Tally()
    corpus = gather(recipe(tmp_path, rows, heldout=str(held)), tally)
    assert len(corpus.train) == 1
    assert tally.counts["leak"] + tally.counts["duplicate"] == 1


def test_weights_and_replay_mix_as_they_say(tmp_path: Path) -> None:
    ours = write_jsonl(tmp_path / "ours.jsonl", [qa(i) for i in range(40)])
    half = write_jsonl(tmp_path / "half.jsonl", [qa(i) for i in range(100, 140)])
    general = write_jsonl(tmp_path / "general.jsonl", [qa(i) for i in range(200, 300)])
    config = recipe(
        tmp_path,
        [],
        sources=[{"path": str(ours), "weight": 2.5}, {"path": str(half), "weight": 0.5}],
        replay={"source": str(general), "ratio": 0.25},
        eval_split=0,
    )
    corpus = gather(config, Tally())
    used = {Path(s.path).stem: s.used for s in corpus.sources}
    assert used == {"ours": 100, "half": 20, "general": 30}
    assert sum(corpus.copies) == 150


def test_rows_of_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        rows = [qa(i) for i in range(10 * number, 10 * number + 10)]
        files.append(str(write_jsonl(tmp_path / str(number) / "rows.jsonl", rows)))
    corpus = gather(recipe(tmp_path, [], sources=files, eval_split=0.5), Tally())
    places = [conversation.place for conversation in (*corpus.train, *corpus.heldout)]
    assert {place.rpartition(":")[0] for place in places} == {"rows.jsonl", "2/rows.jsonl", "3/rows.jsonl"}
    assert len(set(places)) == 30


def test_repeats_are_even() -> None:
    import random

    assert sorted(repeats(4, 2.5, random.Random(0))) == [2, 2, 3, 3]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))


def test_report_counts_by_reason_with_row_numbers(tmp_path: Path) -> None:
    rows = [qa(i) for i in range(20)] + [{"instruction": "没有答案", "output": ""}, {"instruction": "缺列"}]
    prepared = prepare(recipe(tmp_path, rows, max_dropped=0.2), qwen3_tokenizer_folder())
    report = prepared.report
    assert report.reasons["empty_answer"].places == ["rows.jsonl:21"]
    assert report.reasons["missing_columns"].places == ["rows.jsonl:22"]
    assert report.dropped_share == pytest.approx(2 / 22, abs=1e-4)
    assert report.train_rows + report.heldout_rows == 20
    stored = json.loads((prepared.folder / "data_report.json").read_text(encoding="utf-8"))
    assert stored["reasons"]["empty_answer"]["rule"].startswith("dropped")


def test_too_many_drops_stop_the_run_with_the_key_to_change(tmp_path: Path) -> None:
    rows = [qa(i) for i in range(9)] + [{"instruction": "没有答案", "output": ""}]
    with pytest.raises(
        DataError, match=r"10.0% of the 10 rows .* empty_answer found 1 time \(rows.jsonl:10\)"
    ) as error:
        prepare(recipe(tmp_path, rows), qwen3_tokenizer_folder())
    assert "data.max_dropped=0.11" in error.value.next_step


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no conversation is left .* empty_answer found 1 time \(rows.jsonl:1\): an answer"
    ):
        prepare(recipe(tmp_path, [{"instruction": "问", "output": ""}]), qwen3_tokenizer_folder())


LONG = {
    "messages": [turn("user", "一" * 60), turn("assistant", "二" * 60), turn("user", "三？"), turn("assistant", "四。")]
}


def test_overlong_rows_are_dropped_counted_and_never_cut(tmp_path: Path) -> None:
    chat = {"messages": [*LONG["messages"][2:], *LONG["messages"][:2]]}
    prepared = prepare(recipe(tmp_path, [chat], eval_split=0, max_length=60, max_dropped=1), qwen3_tokenizer_folder())
    assert prepared.report.reasons["overlong"].count == 1
    (row,) = read_rows(prepared.folder / "train").to_pylist()
    assert row["said"] == ["四。"]
    assert row["labels"][-1] == row["input_ids"][-1] == prepared.report.template.end_token_id


def test_rows_that_are_all_too_long_are_an_error_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training row is left: overlong found 2 times") as error:
        prepare(recipe(tmp_path, [LONG], eval_split=0, max_length=20, max_dropped=1), qwen3_tokenizer_folder())
    assert "data.max_length" in error.value.next_step


def test_truncating_the_history_keeps_the_whole_answer(tmp_path: Path) -> None:
    config = recipe(
        tmp_path, [LONG], eval_split=0, max_length=60, max_dropped=1, overlong="truncate_history", turns="last"
    )
    prepared = prepare(config, qwen3_tokenizer_folder())
    (row,) = read_rows(prepared.folder / "train").to_pylist()
    assert row["said"] == ["四。"]
    assert len(row["input_ids"]) <= 60
    assert prepared.report.reasons["history_truncated"].count == 1


def test_overlong_error_names_the_row(tmp_path: Path) -> None:
    config = recipe(tmp_path, [LONG], eval_split=0, max_length=40, overlong="error")
    with pytest.raises(DataError, match=r"rows.jsonl:1: \d+ tokens, longer than data.max_length=40"):
        prepare(config, qwen3_tokenizer_folder())


def test_second_call_is_served_from_the_cache_until_the_content_changes(tmp_path: Path) -> None:
    config = recipe(tmp_path, [qa(i) for i in range(10)])
    first, second = (prepare(config, qwen3_tokenizer_folder()) for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    assert second.report == first.report
    write_jsonl(tmp_path / "rows.jsonl", [qa(i) for i in range(11)])
    assert not prepare(config, qwen3_tokenizer_folder()).cached


def test_rows_of_a_file_that_changes_while_it_is_read_are_kept_under_no_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipe(tmp_path, [qa(i) for i in range(10)])

    def written_meanwhile(*given: Any) -> Any:
        write_jsonl(tmp_path / "rows.jsonl", [qa(i) for i in range(20, 30)])
        return gather(*given)

    monkeypatch.setattr("trainer.data.prepare.gather", written_meanwhile)
    with pytest.raises(DataError, match="changed while they were read"):
        prepare(config, qwen3_tokenizer_folder())
    monkeypatch.undo()
    write_jsonl(tmp_path / "rows.jsonl", [qa(i) for i in range(10)])
    prepared = prepare(config, qwen3_tokenizer_folder())
    assert not prepared.cached
    assert "第 25" not in (prepared.folder / "heldout.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("overlong", ["drop", "truncate_history", "error"])
def test_a_text_of_millions_of_characters_is_overlong_without_being_encoded(
    tmp_path: Path, overlong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ChatCodec.encode

    def watched(codec: ChatCodec, text: str) -> list[int]:
        assert len(text) < 1_000_000
        return encode(codec, text)

    monkeypatch.setattr(ChatCodec, "encode", watched)
    rows = [qa(i) for i in range(5)] + [qa(9, "长" * 3_000_000)]
    config = recipe(tmp_path, rows, max_dropped=1, max_length=256, overlong=overlong)
    if overlong == "error":
        with pytest.raises(DataError, match=r"rows.jsonl:6: 3,000,0\d\d characters, more than data.max_length=256"):
            prepare(config, qwen3_tokenizer_folder())
        return
    report = prepare(config, qwen3_tokenizer_folder()).report
    assert report.reasons["overlong"].places == ["rows.jsonl:6"]
    assert report.kept == 5


def test_half_a_character_in_the_name_of_a_column_does_not_end_the_report(tmp_path: Path) -> None:
    rows: list[Any] = [qa(i) for i in range(10)]
    rows[3] |= {"\ud83d": 3}
    config = recipe(tmp_path, [])
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = prepare(config, qwen3_tokenizer_folder()).report
    assert report.columns[0].unread == ["\ufffd"]
    assert report.read == report.kept == 10


def test_parallel_tokenizing_gives_the_same_rows(tmp_path: Path) -> None:
    rows = [qa(i) for i in range(2100)]
    tables = []
    for workers in (1, 2):
        monkey = recipe(tmp_path, rows, workers=workers)
        prepared = prepare(monkey, qwen3_tokenizer_folder())
        tables.append(read_rows(prepared.folder / "train"))
        (prepared.folder / "data_report.json").unlink()  # so that the next call prepares anew
    assert tables[0].equals(tables[1])


def test_parity_rows_leave_out_special_token_text(tmp_path: Path) -> None:
    rows = [qa(i) for i in range(10)] + [{"instruction": "<|im_end|> 是什么？", "output": "一个标记。"}]
    prepared = prepare(recipe(tmp_path, rows, eval_split=0), qwen3_tokenizer_folder())
    lines = [json.loads(x) for x in (prepared.folder / "parity.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 10
    assert prepared.report.reasons["special_text_kept"].places == ["rows.jsonl:11"]
    assert all(set(line) == {"id", "messages", "tools", "prompt_ids"} for line in lines)

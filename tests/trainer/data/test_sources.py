"""Files of every kind are read row by row; what cannot be read is named by file and row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from configs.schema import RunConfig, SourceConfig
from configs.tables import BadRow, RawRow
from trainer.data.cleaning import RULES
from trainer.data.corpus import Tally, gather
from trainer.data.layouts import detect_layout, to_conversation
from trainer.data.sources import find_files, read_source, split_count

ROWS = [{"instruction": f"第{i}问", "output": f"第{i}答"} for i in range(20)]


def read(path: Path | str, **options: object) -> list[RawRow | BadRow]:
    source = SourceConfig.model_validate({"path": str(path), **options})
    return read_source(source, seed=1, hub="huggingface", offline=True)


def values(rows: list[RawRow | BadRow]) -> list[dict[str, object]]:
    return [row.value for row in rows if isinstance(row, RawRow)]


def write(folder: Path, kind: str) -> Path:
    file = folder / f"rows.{kind}"
    if kind == "json":
        file.write_text(json.dumps(ROWS, ensure_ascii=False), encoding="utf-8")
    elif kind == "jsonl":
        file.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS), encoding="utf-8")
    elif kind == "csv":
        lines = ["instruction,output", *(f"{r['instruction']},{r['output']}" for r in ROWS)]
        file.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")  # as Excel saves it
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    return file


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    rows = read(write(tmp_path, kind))
    assert values(rows) == ROWS
    assert detect_layout([r for r in rows if isinstance(r, RawRow)], SourceConfig(path="x")) == "alpaca"


def test_folders_and_globs_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "jsonl")
    (tmp_path / "notes.txt").write_text("no data", encoding="utf-8")
    assert [row.place for row in read(tmp_path)][:1] == ["rows.jsonl:1"]
    assert len(read(tmp_path)) == len(read(str(tmp_path / "*" / "*.jsonl"))) == 40
    assert [f.parent.name for f in find_files(str(tmp_path))] == ["a", "b"]


def test_a_sample_is_seeded_and_keeps_the_order(tmp_path: Path) -> None:
    file = write(tmp_path, "jsonl")
    some = read(f"{file}#5")
    assert some == read(f"{file}#5")
    assert len(some) == 5
    assert [r.place for r in some] == sorted((r.place for r in some), key=lambda p: int(p.rpartition(":")[2]))
    assert len(read(f"{file}#500")) == 20
    assert split_count("a#b.jsonl") == ("a#b.jsonl", None, False)


def test_the_first_rows_of_a_file_or_folder(tmp_path: Path) -> None:
    file = write(tmp_path, "jsonl")
    write(tmp_path, "csv")
    assert values(read(f"{file}#:3")) == ROWS[:3]
    assert [r.place for r in read(f"{tmp_path}#:21")][-2:] == ["rows.csv:21", "rows.jsonl:1"]


def test_rows_that_cannot_be_read_are_named_and_do_not_stop_the_reading(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = json.dumps(ROWS[0], ensure_ascii=False).encode()
    file.write_bytes(b"\n".join([good, "中文".encode("gb18030"), b"{half", b"[1]", b"", good, b"9" * 5000]))
    rows = read(file)
    assert [r for r in rows if isinstance(r, BadRow)] == [
        BadRow("rows.jsonl:2", "not_utf8"),
        BadRow("rows.jsonl:3", "not_json"),
        BadRow("rows.jsonl:4", "not_an_object"),
        BadRow("rows.jsonl:7", "not_json"),
    ]
    assert [r.place for r in rows if isinstance(r, RawRow)] == ["rows.jsonl:1", "rows.jsonl:6"]


def test_a_csv_row_with_a_missing_cell_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("instruction,output\n一,二\n三\n四,五,六\n", encoding="utf-8")
    bad = [r for r in read(file) if isinstance(r, BadRow)]
    assert bad == [BadRow("rows.csv:3", "wrong_number_of_columns"), BadRow("rows.csv:4", "wrong_number_of_columns")]


def test_a_file_in_another_encoding_says_how_to_convert_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("instruction,output\n问,答\n".encode("gb18030"))
    with pytest.raises(DataError, match=r"rows.csv:2: not UTF-8 \(byte 19\), like 1 of 2 lines") as error:
        read(file)
    assert "iconv -f GB18030 -t UTF-8" in error.value.next_step
    (tmp_path / "rows.json").write_bytes('[{"prompt": "问"}]'.encode("utf-16"))
    with pytest.raises(DataError, match=r"rows.json:1: not UTF-8") as error:
        read(tmp_path / "rows.json")
    assert "iconv -f UTF-16 -t UTF-8" in error.value.next_step


def test_a_csv_cell_may_be_longer_than_the_readers_limit(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("instruction,output\n一," + "长" * 140_000, encoding="utf-8")
    assert len(str(values(read(file))[0]["output"])) == 140_000


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere/rows.jsonl", "no such file or folder"),
        ("missing.jsonl", "no such file or folder"),
        ("nobody/no-such-data", "not in the local cache"),
    ],
)
def test_a_missing_source_is_named(path: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(path)


def test_an_empty_file_an_unread_type_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "rows.xlsx").write_bytes(b"x")
    (tmp_path / "none").mkdir()
    for path, message in (("empty.jsonl", "no rows"), ("rows.xlsx", "xlsx are not read"), ("none", "no data file")):
        with pytest.raises(DataError, match=message):
            read(tmp_path / path)


def test_json_that_is_broken_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[\n{"instruction": "一"},\n{"instruction" "二"}\n]', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows.json:3: not valid JSON"):
        read(file)


def messages_of(row: dict[str, object], **columns: str) -> list[dict[str, object]]:
    source = SourceConfig(path="x", columns=columns)
    raw = RawRow("x:1", row)
    return to_conversation(raw, detect_layout([raw], source), columns).messages


QUESTION = {"role": "user", "content": "几点开门？"}
ANSWER = {"role": "assistant", "content": "九点。"}


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "几点开门？", "output": "九点。"},
        {"instruction": "几点开门？", "input": "", "output": "九点。", "history": []},
        {"conversations": [{"from": "human", "value": "几点开门？"}, {"from": "gpt", "value": "九点。"}]},
        {"conversations": '[{"from": "human", "value": "几点开门？"}, {"from": "gpt", "value": "九点。"}]'},
        {"messages": [QUESTION, ANSWER]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "几点开门？"}]}, ANSWER]},
        {"conversations": [QUESTION, ANSWER]},
        {"prompt": "几点开门？", "completion": "九点。"},
        {"question": "几点开门？", "answer": "九点。"},
        {"prompt": [QUESTION], "completion": [ANSWER]},
    ],
)
def test_layouts_are_found_by_looking(row: dict[str, object]) -> None:
    assert messages_of(row) == [QUESTION, ANSWER]


def test_columns_map_a_users_own_names() -> None:
    row = {"问": "几点开门？", "答": "九点。", "output": "别的"}
    assert messages_of(row, instruction="问", output="答") == [QUESTION, ANSWER]


def test_alpaca_input_history_and_system_are_used() -> None:
    row = {
        "system": "你是客服。",
        "instruction": "总结",
        "input": "原文",
        "output": "摘要",
        "history": [["几点开门？", "九点。"]],
    }
    assert messages_of(row) == [
        {"role": "system", "content": "你是客服。"},
        QUESTION,
        ANSWER,
        {"role": "user", "content": "总结\n原文"},
        {"role": "assistant", "content": "摘要"},
    ]


def test_tool_calls_come_with_parsed_arguments_and_tools() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "查", "arguments": '{"城市": "杭州"}'}}
    row = {
        "messages": [QUESTION, {"role": "assistant", "content": None, "tool_calls": [call]}],
        "tools": '[{"name": "查", "parameters": {}}]',
    }
    conversation = to_conversation(RawRow("x:1", row), "messages", {})
    assert conversation.messages[1]["tool_calls"][0]["function"]["arguments"] == {"城市": "杭州"}
    assert conversation.tools == [{"type": "function", "function": {"name": "查", "parameters": {}}}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [{"role": ["x"], "content": "?"}]}, "unknown_role"),
        ({"instruction": "?", "output": "!", "history": 5}, "bad_history"),
        ({"messages": [QUESTION, ANSWER | {"tool_calls": 5}]}, "bad_tool_call"),
        ({"messages": [QUESTION, ANSWER | {"tool_calls": [{"name": "f", "arguments": [1]}]}]}, "bad_tool_call"),
        ({"messages": [QUESTION, ANSWER], "tools": [{"function": 5}]}, "bad_tools"),
        ({"messages": [QUESTION, {"role": "assistant", "content": "\ud83d"}]}, "lone_surrogate"),
    ],
)
def test_one_bad_row_is_counted_and_costs_only_itself(tmp_path: Path, row: dict[str, object], reason: str) -> None:
    good = {"messages": [QUESTION, ANSWER]} if "messages" in row else {"instruction": "几点开门？", "output": "九点。"}
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, [good, row])), encoding="utf-8")
    data = {"sources": str(file), "eval_split": 0}
    tally = Tally()
    corpus = gather(RunConfig.model_validate({"name": "x", "model": "m", "data": data}), tally)
    assert len(corpus.train) == 1
    assert dict(tally.counts) == {reason: 1}
    assert reason in RULES


def test_unknown_layout_shows_the_columns_and_the_way_out() -> None:
    with pytest.raises(DataError, match="the columns are 标题, 正文") as error:
        messages_of({"标题": "一", "正文": "二"})
    assert "columns: {instruction:" in error.value.next_step

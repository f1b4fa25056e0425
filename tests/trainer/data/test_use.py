"""Everything that an author supplied is used or named: what is unread and looks like content stops the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError, DataError
from tests.trainer.data.gathered import gathered, texts

Q, A = "柜子里放着什么东西？", "放着三把伞。"
LONG = "柜子是去年新买的，里面放了很多东西。"
CHAT = [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]


def stopped(folder: Path, row: dict[str, Any], **options: Any) -> tuple[str, str]:
    with pytest.raises(DataError) as error:
        gathered(folder, [row], **options)
    return error.value.message, error.value.next_step


@pytest.mark.parametrize(
    ("row", "name", "line"),
    [
        ({"question": Q, "answer": A, "persona": "海盗"}, "persona", "columns: {system: persona}"),
        ({"question": Q, "answer": A, "人设": "海盗"}, "人设", "columns: {system: 人设}"),
        ({"question": Q, "answer": A, "chunk": LONG}, "chunk", "columns: {context: chunk}"),
        ({"question": Q, "answer": A, "notes": "Bought last year, never used."}, "notes", "columns: {context:"),
        ({"question": Q, "answer": A, "references": [LONG]}, "references", "columns: {context:"),
        ({"question": Q, "answer": A, "解析": "因为下雨。"}, "解析", "data.ignore_columns: [解析]"),
        ({"question": Q, "answer": "A", "choices": ["伞", "书"]}, "choices", "data.ignore_columns: [choices]"),
        ({"question": Q, "A": "伞", "B": "书", "answer": "A"}, "B", "data.ignore_columns: [A, B]"),
        ({"instruction": "翻译", "source": "列车今天晚点了。", "target": A}, "source", "columns: {input: source}"),
        ({"messages": CHAT, "context": "柜子是去年新买的。"}, "context", "columns: {system: context}"),
        ({"messages": CHAT, "history": [["你好", "您好"]]}, "history", "data.ignore_columns: [history]"),
        ({"messages": CHAT, "instruction": "像店员那样说话"}, "instruction", "columns: {system: instruction}"),
        ({"messages": [*CHAT[:1], {"role": "assistant", "content": A, "refusal": "我不能说。"}]}, "messages.refusal",
         "data.ignore_columns: [messages.refusal]"),
        ({"messages": [{**CHAT[0], "thinking": "客人赶时间。"}, CHAT[1]]}, "messages.thinking",
         "data.ignore_columns: [messages.thinking]"),
        ({"messages": [*CHAT, *CHAT[:1], {**CHAT[1], "good": False}, *CHAT[:1], {**CHAT[1], "good": True}]},
         "messages.good", "data.ignore_columns: [messages.good]"),
    ],
)  # fmt: skip
def test_unread_content_stops_the_run_with_the_line_to_add(
    tmp_path: Path, row: dict[str, Any], name: str, line: str
) -> None:
    message, next_step = stopped(tmp_path, row)
    assert f"`{name}`" in message
    assert "rows.jsonl" in message
    assert line in next_step
    named = next_step.rpartition("data.ignore_columns: [")[2].partition("]")[0]
    corpus, _ = gathered(tmp_path, [row], ignore_columns=named.split(", "))
    assert corpus.train[0].messages[-1]["content"] in (A, "A")


@pytest.mark.parametrize(
    ("row", "names", "line", "asked"),
    [
        ({"prompt": "你是地理老师。", "question": Q, "answer": A}, ("prompt", "question"),
         {"system": "prompt", "question": "question"}, [("s", "你是地理老师。"), ("u", Q), ("a", A)]),
        ({"instruction": "请回答。", "question": Q, "answer": A}, ("instruction", "question"),
         {"instruction": "instruction", "input": "question"}, [("u", f"请回答。\n{Q}"), ("a", A)]),
        ({"question": Q, "solution": A, "answer": "3"}, ("solution", "answer"),
         {"answer": "solution"}, [("u", Q), ("a", A)]),
        ({"prompt": Q, "response": A, "output": "别的"}, ("response", "output"),
         {"answer": "response"}, [("u", Q), ("a", A)]),
        ({"system": "甲", "system_prompt": "乙", "prompt": Q, "response": A}, ("system", "system_prompt"),
         {"system": "system_prompt"}, [("s", "乙"), ("u", Q), ("a", A)]),
        ({"messages": CHAT, "conversations": [*CHAT[:1], {"role": "assistant", "content": "别的"}]},
         ("messages", "conversations"), {"messages": "messages"}, [("u", Q), ("a", A)]),
        ({"messages": [{**CHAT[0], "value": "别的"}, CHAT[1]]}, ("messages.content", "messages.value"),
         {"content": "content"}, [("u", Q), ("a", A)]),
        ({"prompt": Q, "chosen": A, "response": "别的", "rejected": "滚"}, ("response", "chosen"), {}, []),
    ],
)  # fmt: skip
def test_two_candidates_for_one_part_stop_the_run_and_columns_settles_it(
    tmp_path: Path, row: dict[str, Any], names: tuple[str, str], line: dict[str, str], asked: list[tuple[str, str]]
) -> None:
    message, next_step = stopped(tmp_path, row)
    assert all(f"`{name}`" in message for name in names)
    if line:
        assert ", ".join(f"{target}: {column}" for target, column in line.items()) in next_step
        corpus, _ = gathered(tmp_path, [row], source={"columns": line})
        assert texts(corpus.train[0]) == asked


def test_equal_candidates_and_empty_ones_are_no_question(tmp_path: Path) -> None:
    rows = [
        {"prompt": Q, "question": Q, "answer": A, "response": ""},
        {"prompt": "", "question": "门开着吗？", "answer": "开着。", "response": None},
    ]
    corpus, _ = gathered(tmp_path, rows)
    assert [texts(c) for c in corpus.train] == [[("u", Q), ("a", A)], [("u", "门开着吗？"), ("a", "开着。")]]


def test_metadata_are_listed_and_stop_nothing(tmp_path: Path) -> None:
    row = {
        "id": "0a3f-77", "instruction": Q, "output": A, "category": "closed_qa", "source": "https://shop.example/a",
        "lang": "zh", "score": 0.93, "created": "2024-01-02 10:00:00", "label": "家具", "difficulty": "简单",
        "chunk": "handbook.md", "tokens": 12, "extra": {"a": 1}, "title": "柜子",
    }  # fmt: skip
    corpus, _ = gathered(tmp_path, [row, {**row, "instruction": "门在哪？"}])
    (columns,) = corpus.columns
    assert columns.used == ["instruction", "output"]
    assert set(columns.unread) == row.keys() - {"instruction", "output"}
    assert columns.layouts == {"alpaca": 2}


def test_a_column_that_repeats_the_conversation_counts_as_used(tmp_path: Path) -> None:
    row = {"prompt": Q, "solution": A, "messages": CHAT}
    (columns,) = gathered(tmp_path, [row])[0].columns
    assert columns.unread == []
    assert columns.used[-2:] == ["prompt (repeats the conversation)", "solution (repeats the conversation)"]


def test_content_in_a_late_row_stops_the_run_too(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"question": f"{Q}{i}", "answer": A, "background": ""} for i in range(300)]
    rows[290]["persona"] = "海盗"
    assert "rows.jsonl:291" in stopped_all(tmp_path, rows)


def stopped_all(folder: Path, rows: list[dict[str, Any]]) -> str:
    with pytest.raises(DataError) as error:
        gathered(folder, rows)
    return error.value.message


def test_a_label_of_zeros_and_ones_is_asked_about_and_of_more_classes_is_not(tmp_path: Path) -> None:
    rows = [{"prompt": f"{Q}{i}", "completion": A, "label": i % 2} for i in range(4)]
    assert "`label` is 0 or 1" in stopped_all(tmp_path, rows)
    corpus, tally = gathered(tmp_path, rows, source={"columns": {"label": "label"}})
    assert (len(corpus.train), tally.counts["marked_bad"]) == (2, 2)
    corpus, _ = gathered(tmp_path, [{**row, "label": i} for i, row in enumerate(rows)])
    assert len(corpus.train) == 4
    assert corpus.columns[0].unread == ["label"]


@pytest.mark.parametrize(
    ("columns", "row", "message", "next_step"),
    [
        ({"system": "sysprompt"}, {"ask": Q, "answer": A, "sys_prompt": "甲"}, "no row has a column `sysprompt`",
         "did you mean `sys_prompt`?"),
        ({"history": "before"}, {"messages": CHAT, "before": [["a", "b"]]}, "reads no `history`", "leave that"),
        ({"content": "txt"}, {"messages": [{"role": "user", "text": Q}, {"role": "assistant", "text": A}]},
         "no message has a key `txt`", "did you mean `text`?"),
    ],
)  # fmt: skip
def test_a_column_of_columns_must_exist_and_be_read(
    tmp_path: Path, columns: dict[str, str], row: dict[str, Any], message: str, next_step: str
) -> None:
    said, mend = stopped(tmp_path, row, source={"columns": columns})
    assert message in said
    assert next_step in mend


def test_a_layout_name_that_nothing_reads_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no layout reads a 'sistem'; did you mean system"):
        gathered(tmp_path, [{"q": Q, "a": A}], source={"columns": {"sistem": "q"}})


def test_every_problem_is_named_at_once_and_one_line_ignores_them(tmp_path: Path) -> None:
    message, next_step = stopped(
        tmp_path, {"question": Q, "answer": A, "persona": "海盗", "background_story": "很久以前。"}
    )
    assert "`persona`" in message
    assert "`background_story`" in message
    assert "data.ignore_columns: [background_story, persona]" in next_step


@pytest.mark.parametrize(
    ("column", "values", "part"),
    [
        ("is_correct", (True, False), "label"),
        ("status", ("approved", "rejected"), "label"),
        ("审核", ("通过", "不通过"), "label"),
        ("use", ("是", "否"), "label"),
        ("feedback", ("like", "dislike"), "label"),
        ("thumbs_up", (True, False), "label"),
        ("状态", ("正常", "已废弃"), "label"),
        ("deleted", (None, True), "exclude"),
        ("已删除", ("否", "是"), "exclude"),
    ],
)
def test_rows_that_are_marked_stop_the_run_and_columns_heeds_the_mark(
    column: str, values: tuple[Any, Any], part: str, tmp_path: Path
) -> None:
    rows = [{"question": f"{Q}{i}", "answer": A, column: values[i % 2]} for i in range(6)]
    message, next_step = stopped_all(tmp_path, rows), f"columns: {{{part}: {column}}}"
    assert f"`{column}` marks rows" in message
    with pytest.raises(DataError) as error:
        gathered(tmp_path, rows)
    assert next_step in error.value.next_step
    corpus, _ = gathered(tmp_path, rows, source={"columns": {part: column}})
    assert [c.messages[0]["content"] for c in corpus.train] == [f"{Q}{i}" for i in (0, 2, 4)]
    assert len(gathered(tmp_path, rows, ignore_columns=[column])[0].train) == 6


@pytest.mark.parametrize("part", ["label", "exclude"])
def test_a_mark_that_columns_names_is_understood_or_named(part: str, tmp_path: Path) -> None:
    rows = [{"question": f"{Q}{i}", "answer": A, "档": ("甲", "乙")[i % 2]} for i in range(6)]
    with pytest.raises(DataError, match=r"bad_flag found 6 times .*档: the text '甲'"):
        gathered(tmp_path, rows, source={"columns": {part: "档"}})


def test_rows_of_a_test_set_are_not_trained_unasked(tmp_path: Path) -> None:
    rows = [{"question": f"{Q}{i}", "answer": A, "split": ("train", "test")[i == 5]} for i in range(6)]
    assert "`split` keeps rows apart (test, train)" in stopped_all(tmp_path, rows)
    assert len(gathered(tmp_path, [{**row, "split": "train"} for row in rows])[0].train) == 6


@pytest.mark.parametrize(
    ("column", "values"),
    [("category", ("bad", "good")), ("quality", (0.3, 0.8)), ("is_correct", (True, True)), ("subset", ("a", "b"))],
)
def test_what_only_describes_rows_stops_nothing(column: str, values: tuple[Any, Any], tmp_path: Path) -> None:
    rows = [{"question": f"{Q}{i}", "answer": A, column: values[i % 2]} for i in range(6)]
    corpus, _ = gathered(tmp_path, rows)
    assert (len(corpus.train), corpus.columns[0].unread) == (6, [column])


ASKED = [{"role": "user", "content": Q}]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"instruction": LONG, "prompt": ASKED, "response": A}, "instruction"),
        ({"prompt": ASKED, "input": LONG, "response": A}, "input"),
        ({"prompt": f"Human: {LONG}\n\nAssistant:", "input": ASKED, "response": A}, "prompt"),
        ({"instruction": [{"role": "user", "content": LONG}], "prompt": ASKED, "response": A}, "prompt"),
        ({"question": Q, "reasoning": LONG, "chosen": [*ASKED, {"role": "assistant", "content": A}]}, "reasoning"),
    ],
)
def test_what_did_not_come_into_the_conversation_stops_the_run(row: dict[str, Any], name: str, tmp_path: Path) -> None:
    assert f"`{name}` is not read and looks like content" in stopped(tmp_path, row)[0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"context": LONG, "prompt": ASKED, "response": A}, [("u", f"{LONG}\n\n{Q}"), ("a", A)]),
        ({"context": LONG, "prompt": f"Human: {Q}\n\nAssistant:", "response": A}, [("u", f"{LONG}\n\n{Q}"), ("a", A)]),
        ({"context": CHAT, "prompt": LONG, "response": A}, [("u", Q), ("a", A), ("u", LONG), ("a", A)]),
        ({"system": [{"text": LONG}], "messages": CHAT}, [("s", LONG), ("u", Q), ("a", A)]),
        ({"systemInstruction": {"role": "system", "parts": [{"text": LONG}]}, "messages": CHAT},
         [("s", LONG), ("u", Q), ("a", A)]),
        ({"prompt": [{"type": "text", "text": Q}], "response": [{"type": "text", "text": A}]}, [("u", Q), ("a", A)]),
    ],
)  # fmt: skip
def test_texts_beside_messages_and_in_parts_are_read(
    row: dict[str, Any], said: list[tuple[str, str]], tmp_path: Path
) -> None:
    assert texts(gathered(tmp_path, [row])[0].train[0]) == said

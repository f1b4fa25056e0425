"""Rows of other people's layouts become questions without losing a part, or are refused with their row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from configs.recipe.schema import TaskConfig
from eval.tasks import Task, load_task
from eval.tasks.custom import items_from_rows
from eval.tasks.scoring import SCORING
from eval.tasks.task import Item, Kind


def item(kind: Kind, **row: Any) -> Item:
    return items_from_rows([row], kind, "rows.jsonl")[0]


def said(made: Item) -> list[tuple[str, str]]:
    return [(str(turn["role"]), str(turn["content"])) for turn in made.messages]


def load(kind: str, path: Path) -> Task:
    return load_task(TaskConfig.model_validate({"name": kind, "type": kind, "path": str(path)}))[0]


ASKED = [("system", "你是翻译。"), ("user", "hi"), ("assistant", "hello"), ("user", "翻译：\n列车晚点了。")]
ROW = {"instruction": "翻译：", "input": "列车晚点了。", "output": "The train is late.", "system": "你是翻译。"}


@pytest.mark.parametrize(
    "history",
    [
        [["hi", "hello"]],
        '[["hi", "hello"]]',
        [{"human": "hi", "assistant": "hello"}],
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
        [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}],
        ["hi", "hello"],
    ],
)
def test_alpaca_with_input_system_and_history(history: Any) -> None:
    made = item("exact", **ROW, history=history)
    assert said(made) == ASKED
    assert made.references == ["The train is late."]


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ({"query": "几点？", "system": "只用英文。"}, [("system", "只用英文。"), ("user", "几点？")]),
        ({"system_prompt": "只用英文。", "Question": "几点？"}, [("system", "只用英文。"), ("user", "几点？")]),
        ({"系统提示": "只用英文。", "问题": "几点？"}, [("system", "只用英文。"), ("user", "几点？")]),
        ({"instruction": "回答。", "question": "几点？"}, [("user", "回答。\n几点？")]),
        ({"question": "几点？", "input": "表上是三点。"}, [("user", "几点？\n表上是三点。")]),
        ({"input": "几点？"}, [("user", "几点？")]),
        ({"instruction": "", "input": "几点？"}, [("user", "几点？")]),
        ({"instruction": None, "input": "几点？", "history": None}, [("user", "几点？")]),
        ({"question": "几点？", "context": "现在三点。"}, [("user", "现在三点。\n\n几点？")]),
        ({"question": "几点？", "passages": ["现在三点。", "天晴。"]}, [("user", "现在三点。\n\n天晴。\n\n几点？")]),
        ({"question": "几点？", "context": float("nan"), "system": "nan"}, [("user", "几点？")]),
        ({"question": "几点？", "context": "None", "input": "null"}, [("user", "几点？")]),
        ({"prompt": "几点？", "question": "几点？"}, [("user", "几点？")]),
        ({"messages": None, "question": "几点？"}, [("user", "几点？")]),
        ({"messages": '[{"role": "user", "content": "几点？"}]'}, [("user", "几点？")]),
        ({"messages": "[{'role': 'user', 'content': '几点？'}]"}, [("user", "几点？")]),
        ({"messages": [{"role": "USER", "content": [{"type": "text", "text": "几点？"}]}]}, [("user", "几点？")]),
        ({"conversations": [{"from": "human", "value": "几点？"}]}, [("user", "几点？")]),
        ({"messages": [[{"role": "user", "content": "几点？"}]]}, [("user", "几点？")]),
        (
            {"system": "简短。", "messages": [{"role": "user", "content": "几点？"}]},
            [("system", "简短。"), ("user", "几点？")],
        ),
    ],
)
def test_every_part_of_a_row_is_asked(row: dict[str, Any], asked: list[tuple[str, str]]) -> None:
    assert said(item("exact", **row, answer="三点")) == asked


@pytest.mark.parametrize(
    ("row", "references"),
    [
        ({"answers": '["北京", "北京市"]'}, ["北京", "北京市"]),
        ({"answers": "['北京', '北京市']"}, ["北京", "北京市"]),
        ({"answers": {"text": ["北京"], "answer_start": [0]}}, ["北京"]),
        ({"answers": [{"text": "北京"}]}, ["北京"]),
        ({"answer": '["北京"]'}, ['["北京"]']),
        ({"答案": "北京"}, ["北京"]),
        ({"Response": "北京"}, ["北京"]),
        ({"completion": "北京", "rejected": "上海"}, ["北京"]),
        ({"chosen": "北京", "rejected": "上海"}, ["北京"]),
        ({"answer": True}, ["true"]),
        ({"answer": {"city": "北京"}}, ['{"city": "北京"}']),
        ({"answer": "北京", "solution": "因为……"}, ["北京"]),
        ({"answer": "None"}, ["None"]),
    ],
)
def test_references_under_any_name(row: dict[str, Any], references: list[str]) -> None:
    assert item("qa", question="首都？", **row).references == references


def test_a_conversation_may_be_sharegpt_or_hold_calls() -> None:
    turns = [{"from": "human", "value": "首都？"}, {"from": "gpt", "value": "北京"}]
    assert item("qa", conversations=turns).references == ["北京"]
    assert item("qa", conversations=list(map(json.dumps, turns))).references == ["北京"]
    call = {"type": "function", "function": {"name": "time", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "几点？"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "三点", "tool_call_id": "1"},
        {"role": "assistant", "content": "三点了"},
    ]
    with pytest.raises(DataError, match="ends with a function call"):
        item("qa", messages=turns[:2], answer="三点了")
    # What a call gave is answered as a question is.
    for row in ({"messages": turns}, {"messages": turns[:3], "answer": "三点了"}):
        asked = item("qa", **row)
        assert (asked.messages[-1]["role"], asked.references) == ("tool", ["三点了"])
    asked = item("qa", messages=[*turns, {"role": "user", "content": "谢谢"}], answer="不客气")
    assert [turn["role"] for turn in asked.messages] == ["user", "assistant", "tool", "assistant", "user"]
    # A server takes no call without an id, nor an answer to one that was not made.
    assert asked.messages[1]["tool_calls"] == [{**call, "id": "call_1_0"}]
    assert asked.messages[2]["tool_call_id"] == "call_1_0"


QUESTION = {"question": "首都？", "answer": "北京"}
QUESTION_TURN = [{"role": "user", "content": "?"}]
BAD_ROWS: list[tuple[Kind, dict[str, Any], str]] = [
    ("qa", {"question": "首都？", "answer": None}, "`answer` is null"),
    ("qa", {"question": "首都？", "answer": float("nan")}, "`answer` is"),
    ("qa", {"question": "首都？", "answer": " "}, "`answer` is"),
    ("qa", {"question": "首都？", "answers": ["北京", None]}, "an answer in `answers` is null"),
    ("qa", {"question": "首都？", "answers": []}, "`answers` is a list of 0"),
    ("qa", {"question": ["a", "b"], "answer": "北京"}, "`question` holds a list of 2 texts"),
    ("qa", {"question": float("inf"), "answer": "北京"}, "`question` holds"),
    ("qa", {"prompt": "你是客服。", "question": "首都？", "answer": "北京"}, "could both be the question"),
    ("qa", {"question": "首都？", "output": "", "response": "北京", "completion": "上海"}, "could both be the answer"),
    ("qa", {**QUESTION, "answers": ["上海"]}, "could both be the answer"),
    ("qa", {**QUESTION, "history": [["问", None]]}, "`history`, message 1: the text is null"),
    ("qa", {**QUESTION, "history": "从前"}, "`history` holds the text '从前' instead of messages"),
    ("qa", {**QUESTION, "history": [{"role": "user", "content": "问"}]}, "`history` ends with a turn of the user"),
    ("qa", {"messages": [{"role": "wizard", "content": "?"}]}, "nobody knows the role 'wizard'"),
    ("qa", {"messages": [{"text": 1, "b": 2}]}, "message 1 has the keys text, b"),
    ("qa", {"messages": ["首都？", 3]}, "`messages`, message 1 is no message but the text '首都？'"),
    ("qa", {"messages": "首都？", "answer": "北京"}, "`messages` holds the text '首都？' instead of messages"),
    ("qa", {"messages": [{"role": "user", "content": None}], "answer": "北京"}, "(user): the text is null"),
    ("qa", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a part of type image_url"),
    (
        "qa",
        {"messages": [*QUESTION_TURN, {"role": "assistant", "content": None, "tool_calls": [{"name": "time"}]}]},
        "ends with a function call",
    ),
    (
        "qa",
        {"messages": [*QUESTION_TURN, {"role": "assistant", "content": None, "tool_calls": [{}]}]},
        "message 2 is no function call: an object with nothing in it",
    ),
    ("qa", {**QUESTION, "images": ["a.png"]}, "`images` holds more than text"),
    ("qa", {**QUESTION, "tools": [{"name": "time"}]}, "`tools` holds tools"),
    ("qa", {**QUESTION, "question": "表情\ud83d"}, "`question` holds half of a character"),
    ("instruction", {"prompt": "p", "constraints": [{"type": ["json"]}]}, "constraint type ['json'] is unknown"),
    ("qa", {**QUESTION, "constraints": "short"}, "`constraints` holds the text 'short'"),
    ("number", {"question": "几年？", "answer": "无期"}, "the answer '无期' is no number"),
    ("number", {"question": "几年？", "answer": "3~5"}, "the answer '3~5' is no number"),
    ("number", {"question": "几年？", "answers": ["3", "很多"]}, "the answer '很多' is no number"),
    ("instruction", {"prompt": "写", "constraints": None}, "needs `constraints`"),
    ("instruction", {"prompt": "写", "constraints": [{"type": "regex", "value": "("}]}, "cannot be checked"),
    ("instruction", {"prompt": "写", "constraints": [{"type": "contains", "value": [3]}]}, "cannot be checked"),
]


@pytest.mark.parametrize(("kind", "row", "message"), BAD_ROWS)
def test_a_row_that_cannot_be_meant_is_refused_by_its_number(kind: Kind, row: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"question": "?", "answer": "3", "constraints": [{"type": "max_chars", "value": 2}]}
    with pytest.raises(DataError) as raised:
        items_from_rows([good, row], kind, "rows.jsonl")
    assert raised.value.message.startswith("rows.jsonl, row 2: ")
    assert message in raised.value.message
    assert raised.value.next_step


def test_ids_that_are_null_are_none_and_doubled_ones_name_both_rows() -> None:
    rows = [{"id": None, "question": f"{n}？", "answer": "北"} for n in range(3)]
    assert [made.id for made in items_from_rows(rows, "qa", "x")] == ["row-00001", "row-00002", "row-00003"]
    mixed = [{**rows[0], "id": 7.0}, {**rows[1], "id": float("nan")}, {**rows[2], "id": ""}]
    assert [made.id for made in items_from_rows(mixed, "qa", "x")] == ["7", "row-00002", "row-00003"]
    with pytest.raises(DataError, match="x, row 3: the id '1' is that of row 1 too"):
        items_from_rows([{**rows[0], "id": 1}, rows[1], {**rows[2], "id": "1"}], "qa", "x")


@pytest.mark.parametrize("answer", ["七", "3½", "1.5万", "25%", "#### 1,234", "\\frac34", 7, 0.5, "二十五个"])
def test_number_references_are_read_as_answers_are(answer: Any) -> None:
    made = item("number", question="几？", answer=answer)
    assert SCORING["number"].score(made, f"算得，答案：{answer}").scores["accuracy"] == 1.0


UNANSWERABLE = [
    {
        "id": "1",
        "context": "长城在北方。",
        "question": "长城在哪？",
        "answers": {"text": ["北方"], "answer_start": [3]},
    },
    {"id": "2", "context": "长城在北方。", "question": "谁修的？", "answers": {"text": [], "answer_start": []}},
]


@pytest.mark.parametrize("kind", ["cmrc", "qa"])
def test_questions_without_an_answer_score_as_in_squad_2(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "dev.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in UNANSWERABLE), encoding="utf-8")
    answerable, lacking = load(kind, file).items
    assert all("没有答案时只写“无答案”" in str(made.messages[-1]["content"]) for made in (answerable, lacking))
    score = SCORING["qa"].score
    for answer, expected in [("", 1.0), ("无答案。", 1.0), ("Unanswerable", 1.0), ("秦始皇", 0.0)]:
        found = score(lacking, answer).scores
        assert [found[name] for name in SCORING["qa"].metrics] == [expected] * 4, answer
    assert score(answerable, "无答案").scores["cmrc_em"] == 0.0
    assert score(answerable, "北方").scores["cmrc_f1"] == 1.0


def test_the_published_layout_of_squad_2_is_read(tmp_path: Path) -> None:
    question = {"id": "q2", "question": "谁修的？", "answers": [], "is_impossible": True, "plausible_answers": []}
    known = {"id": "q1", "question": "在哪？", "answers": [{"text": "北方"}], "is_impossible": False}
    value = {"data": [{"title": "t", "paragraphs": [{"context": "长城在北方。", "qas": [known, question]}]}]}
    (tmp_path / "dev.json").write_text(json.dumps(value), encoding="utf-8")
    assert [list(made.references) for made in load("cmrc", tmp_path / "dev.json").items] == [["北方"], [""]]


BAD_FILES: dict[str, tuple[str, str, bytes, str]] = {
    "gbk csv": ("qa", "a.csv", "question,answer\n首都？,北京\n".encode("gbk"), "not UTF-8"),
    "gbk jsonl": ("qa", "a.jsonl", '{"question":"首都？","answer":"北京"}\n'.encode("gbk"), "not UTF-8"),
    "utf-16 csv": ("qa", "a.csv", "question,answer\n首都？,北京\n".encode("utf-16"), "not UTF-8"),
    "utf-16 jsonl": ("gsm8k", "a.jsonl", '{"question":"首都？"}\n'.encode("utf-16"), "not UTF-8"),
    "gbk tsv": ("csl", "ts_test.tsv", "t\t摘要\t标题\n".encode("gbk"), "not UTF-8"),
    "gbk txt": ("lcsts", "PART_III.txt", "<doc id=1>标题</doc>".encode("gbk"), "not UTF-8"),
    "gbk headless csv": ("mmlu", "test/law.csv", "问,甲,乙,丙,丁,A\n".encode("gbk"), "not UTF-8"),
    "rows that are lists": ("qa", "a.json", b'[["q", "a"], ["q", "a"]]', "row"),
    "numbers": ("qa", "a.jsonl", b"1\n2\n", "a.jsonl:1"),
    "gsm8k without answer": (
        "gsm8k",
        "a.jsonl",
        b'{"question": "1+1?"}\n',
        "row 1: no column answer (it has question)",
    ),
    "lcsts cut": (
        "lcsts",
        "PART_III.txt",
        b"<doc id=1><summary>a</summary><short_text>b</short_text></doc><doc id=2><summary>a<doc id=3><summary>c"
        b"</summary><short_text>d</short_text></doc>",
        "3 pairs begin in it, and 2 are whole",
    ),
    "csl empty title": ("csl", "ts_test.tsv", b"t\ta\tb\nt\ta\t \n", "line 2: no abstract and title"),
    "mmlu open quote": ("mmlu", "test/law.csv", b'q,1,2,3,4,A\n"q,1,2,3,4,A\n', "not valid CSV"),
    "mmlu comma": ("mmlu", "test/law.csv", b"q,1,2,3,4,A\nq, r,1,2,3,4,B\n", "row 2: 7 cells"),
    "gsm8k half": ("gsm8k", "a.jsonl", rb'{"question": "1+1\ud83d", "answer": "#### 2"}', "holds half of a character"),
    "gsm8k half inside": ("gsm8k", "a.jsonl", rb'{"question": {"a": "\ud83d"}, "answer": "2"}', "half of a character"),
    "gsm8k null": ("gsm8k", "a.jsonl", b'{"question": "1+1?", "answer": null}\n', "row 1: column `answer` is null"),
    "gsm8k no number": (
        "gsm8k",
        "a.jsonl",
        b'{"question": "1+1?", "answer": "many"}\n',
        "the answer 'many' ends in no number",
    ),
    "lcsts without text": (
        "lcsts",
        "a.jsonl",
        '{"summary": "题"}\n'.encode(),
        "row 1: no column text (it has summary)",
    ),
    "lcsts null": ("lcsts", "a.jsonl", '{"summary": null, "text": "文"}\n'.encode(), "`summary` is null"),
    "csl without title": ("csl", "a.jsonl", '{"abst": "文"}\n'.encode(), "row 1: no column title (it has abst)"),
    "squad of lists": ("cmrc", "a.json", b'{"data": [["a"]]}', "row 1 is a list of 1 texts instead of an object"),
    "squad of texts": ("cmrc", "a.json", b'{"data": "abc"}', "the text 'abc' instead of a list of entries"),
    "squad without qas": ("cmrc", "a.json", b'{"data": [{"paragraphs": [{"context": "c"}]}]}', "`qas` is null"),
    "squad null answers": (
        "cmrc",
        "a.jsonl",
        b'{"id": 1, "context": "c", "question": "q", "answers": null}\n',
        "row 1: `answers` is null",
    ),
    "squad null id": (
        "cmrc",
        "a.jsonl",
        b'{"id": null, "context": "c", "question": "q", "answers": []}\n',
        "row 1: column `id` is null",
    ),
    "exam index": (
        "mmlu",
        "test/law.jsonl",
        b'{"question": "q", "choices": ["a", "b", "c", "d"], "answer": 7}\n',
        "row 1: the answer 7 is none of the choices A, B, C, D",
    ),
    "exam choices": (
        "mmlu",
        "test/law.jsonl",
        b'{"question": "q", "choices": "abcd", "answer": 1}\n',
        "row 1: `choices` is the text 'abcd'",
    ),
    "damaged zip": ("qa", "a.zip", b"PK\x03\x04damaged", "cannot be unpacked"),
    "empty": ("qa", "a.jsonl", b"", ""),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_no_file_ends_in_a_traceback(tmp_path: Path, case: str) -> None:
    kind, name, content, message = BAD_FILES[case]
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    path = tmp_path if file.parent != tmp_path else file
    with pytest.raises(DataError) as raised:
        load_task(TaskConfig.model_validate({"name": "x", "type": kind, "path": str(path), "shots": 0}))
    assert message in raised.value.message
    assert raised.value.next_step


def test_more_examples_than_there_are_is_an_error(tmp_path: Path) -> None:
    row = json.dumps({"question": "1+1?", "answer": "#### 2"}) + "\n"
    for split in ("test", "train"):
        (tmp_path / f"{split}.jsonl").write_text(row, encoding="utf-8")
    with pytest.raises(DataError, match="1 worked examples, 3 are asked for"):
        load_task(TaskConfig(name="g", type="gsm8k", path=str(tmp_path), shots=3))


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    answers = ["甲\u2028乙", "丙\x85丁", "戊\x0b己\x0c庚\x1c"]
    rows = [{"question": f"{n}？", "answer": answer} for n, answer in enumerate(answers)]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert [made.references[0] for made in load("exact", file).items] == answers


def test_an_exam_answers_by_index_and_letter_whatever_its_options_are(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    rows = [
        {"question": "1+1?", "choices": ["2", "3", "0", "1"], "answer": 2},
        {"question": "Which blood?", "choices": ["B", "A", "AB", "O"], "answer": "B"},
    ]
    file = tmp_path / "test" / "law.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = load_task(TaskConfig(name="m", type="mmlu", path=str(tmp_path), shots=0))[0]
    assert [made.references for made in task.items] == [["C"], ["B"]]

"""The user's own rows, in all the shapes that are promised."""

from __future__ import annotations

from typing import Any

import pytest

from configs.errors import DataError
from configs.handover.rows import HeldoutRow
from eval.tasks.custom import items_from_rows
from eval.tasks.heldout import heldout_kind, heldout_task
from eval.tasks.scoring import SCORING
from eval.tasks.task import Item, Kind


def item(kind: Kind, **row: Any) -> Item:
    return items_from_rows([row], kind, "rows.jsonl")[0]


def text(made: Item) -> str:
    return str(made.messages[-1]["content"])


def test_full_rows() -> None:
    messages = [{"role": "system", "content": "简短"}, {"role": "user", "content": "首都？"}]
    made = item("qa", id="7", cluster=3, messages=messages, answers=["北京"])
    assert (made.id, made.cluster, made.messages, made.references) == ("7", "3", messages, ["北京"])


def test_a_conversation_brings_its_own_reference() -> None:
    turns = [{"role": "user", "content": "首都？"}, {"role": "assistant", "content": "北京"}]
    made = item("qa", messages=turns)
    assert (len(made.messages), made.references) == (1, ["北京"])
    assert item("qa", messages=turns, answers=["北京市", "北京"]).references == ["北京市", "北京"]


@pytest.mark.parametrize("kind", ["qa", "summary", "exact", "number"])
def test_reasoning_of_a_reference_is_no_part_of_it(kind: Kind) -> None:
    thought = "<think>\n三乘七，先算三乘六……\n</think>\n\n21"
    turns = [{"role": "user", "content": "3×7？"}, {"role": "assistant", "content": thought}]
    assert item(kind, messages=turns).references == ["21"]
    assert item(kind, question="3×7？", answer=thought).references == ["21"]
    with pytest.raises(DataError, match="reasoning alone"):
        item(kind, question="3×7？", answer=thought.removesuffix("\n\n21"))


def test_simple_rows_are_worded_in_the_language_of_the_question() -> None:
    assert text(item("qa", question="在哪？", context="在北方。", answer="北方")).endswith("问题：在哪？\n答案：")
    assert text(item("qa", question="Where?", context="In the north.", answer="north")).endswith(
        "Question: Where?\nAnswer:"
    )
    assert "只写概括" in text(item("summary", text="很长的新闻", summary="新闻"))
    assert text(item("summary", question="拟个题目。", context="新闻", answers=["题"])) == "拟个题目。\n\n新闻"
    assert "####" in text(item("number", question="1+1?", answer=2))
    assert text(item("exact", question="说“好”。", answer="好")) == "说“好”。"


def test_a_system_prompt_goes_first_where_there_is_none() -> None:
    made = items_from_rows([{"question": "在？", "answer": "在"}], "qa", "rows", system="简短回答")[0]
    assert [turn["role"] for turn in made.messages] == ["system", "user"]


@pytest.mark.parametrize("answer", ["B", "b", 1, "上海"])
@pytest.mark.parametrize("choices", [["北京", "上海"], {"A": "北京", "B": "上海"}])
def test_choices_and_answers_in_any_form(choices: Any, answer: Any) -> None:
    made = item("choice", question="哪座城市靠海？", choices=choices, answer=answer)
    assert (made.references, made.choices) == (["B"], {"A": "北京", "B": "上海"})
    assert "A. 北京\nB. 上海" in text(made)


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("qa", {"question": "在哪？"}, "row 1: no reference"),
        ("qa", {"answer": "北京"}, "neither `messages` nor any of question"),
        ("qa", {"messages": [], "answers": ["北京"]}, "no user turn"),
        ("choice", {"question": "哪？", "answer": "A"}, "`choices` is None"),
        ("choice", {"question": "哪？", "choices": ["甲", "乙"], "answer": "E"}, "none of the choices A, B"),
        ("instruction", {"prompt": "写诗"}, "needs `constraints`"),
        ("instruction", {"prompt": "写诗", "constraints": [{"type": "rhymes"}]}, "constraint type 'rhymes' is unknown"),
    ],
)
def test_what_a_row_lacks_is_named(kind: Kind, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as raised:
        item(kind, **row)
    assert message in str(raised.value)
    assert "rows.jsonl, row 1" in str(raised.value)


def test_scores_of_every_kind() -> None:
    qa = SCORING["qa"].score(item("qa", question="在哪？", answer="北方"), "在北方")
    assert (qa.scores["cmrc_em"], qa.scores["zh_f1"]) == (0.0, pytest.approx(0.8))
    summary = SCORING["summary"].score(item("summary", text="今天下雨了", summary="下雨"), "")
    assert (summary.scores["rougeL"], summary.scores["copy_rate"]) == (0.0, 0.0)
    choice = SCORING["choice"].score(item("choice", question="哪？", choices=["甲", "乙"], answer="B"), "不知道")
    assert (choice.scores, choice.flags) == ({"accuracy": 0.0}, ("unparsed",))
    number = SCORING["number"].score(item("number", question="1+1?", answer=2), "1+1=2，答案：2。")
    assert number.scores == {"accuracy": 1.0}
    exact = SCORING["exact"].score(item("exact", question="?", answer="正面"), "正面。")
    assert exact.scores == {"exact_match": 0.0, "zh_em": 1.0}
    row = {"prompt": "写", "constraints": [{"type": "max_chars", "value": 2}, {"type": "contains", "value": "春"}]}
    obeyed = SCORING["instruction"].score(item("instruction", **row), "夏")
    assert (obeyed.scores["if_strict"], obeyed.scores["if_instruction"], obeyed.detail["held"]) == (
        0,
        0.5,
        [True, False],
    )


@pytest.mark.parametrize("kind", list(SCORING))
def test_scores_cover_what_the_kind_declares(kind: Kind) -> None:
    answer = "5" if kind == "number" else "A"
    row: dict[str, Any] = {"question": "今天天气如何？", "answer": answer, "choices": ["晴", "雨"]}
    row["constraints"] = [{"type": "max_chars", "value": 2}]
    scoring = SCORING[kind]
    scores = scoring.score(item(kind, **row), "A").scores
    assert set(scores) == {*scoring.metrics, *scoring.diagnostics}
    assert scoring.primary in scoring.metrics
    assert all(0.0 <= scores[name] <= 1.0 for name in scoring.metrics)


def question(n: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"问题{n}"}]


def test_heldout_rows_find_their_metric() -> None:
    assert heldout_kind(["正面", "负面"] * 20) == "exact"
    assert heldout_kind([f"北京{n}" for n in range(40)]) == "qa"
    assert heldout_kind([f"{n}" * 60 for n in range(40)]) == "summary"
    asked = [HeldoutRow(id=f"{n}", cluster="c", messages=question(n), answers=[f"答案{n}"]) for n in range(30)]
    task = heldout_task(asked, limit=10)
    assert (task.kind, task.role, len(task.items), task.name) == ("qa", "target", 10, "heldout")


ASKED = [{"role": "user", "content": "柜子里有什么？"}]
PASSAGE = "柜子是去年新买的，里面有三把伞。"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": ASKED, "answer": "伞"}, ["柜子里有什么？"]),
        ({"prompt": ASKED, "context": PASSAGE, "answer": "伞"}, [f"{PASSAGE}\n\n柜子里有什么？"]),
        ({"context": [*ASKED, {"role": "assistant", "content": "伞。"}], "question": "几把？", "answer": "三把"},
         ["柜子里有什么？", "伞。", "几把？"]),
        ({"system": [{"text": "只说一个词。"}], "question": [{"type": "text", "text": "几把？"}], "answer": "三把"},
         ["只说一个词。", "几把？"]),
        ({"messages": ASKED, "question": "柜子里有什么？", "answer": "伞"}, ["柜子里有什么？"]),
    ],
)  # fmt: skip
def test_messages_and_parts_are_asked_wherever_they_stand(row: dict[str, Any], said: list[str]) -> None:
    assert [turn["content"] for turn in items_from_rows([row], "exact", "rows")[0].messages] == said


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ({"messages": ASKED, "context": PASSAGE, "answer": "伞"}, "qa", "`context` would not be asked"),
        ({"messages": ASKED, "history": [["你好", "您好"]], "answer": "伞"}, "qa", "`history` would not be asked"),
        ({"prompt": ASKED, "input": PASSAGE, "answer": "伞"}, "exact", "`input` would not be asked"),
        ({"text": PASSAGE, "context": "另一段。", "question": "几把？", "answer": "三把"}, "qa", "`text` would"),
        ({"messages": [*ASKED, {"role": "assistant", "content": "伞"}], "answer": "书"}, "exact", "`answer` holds"),
        ({"messages": ASKED, "choices": ["伞", "书"], "answer": "A"}, "choice", "does not show option A"),
    ],
)  # fmt: skip
def test_what_would_not_be_asked_is_named(row: dict[str, Any], kind: Kind, message: str) -> None:
    with pytest.raises(DataError, match=f"row 1: .*{message}"):
        items_from_rows([row], kind, "rows")


def test_calls_in_a_conversation_are_sent_as_text() -> None:
    called = {"role": "assistant", "tool_calls": [{"name": "hours", "arguments": {"gate": 3}}]}
    row = {"messages": [*ASKED, called, {"role": "tool", "content": "9点"}, *ASKED], "answer": "九点"}
    sent = items_from_rows([row], "exact", "rows")[0].messages
    assert sent[1]["tool_calls"][0]["function"] == {"name": "hours", "arguments": '{"gate": 3}'}
    assert sent[2]["tool_call_id"] == sent[1]["tool_calls"][0]["id"]

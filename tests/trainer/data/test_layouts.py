"""Every layout of docs/data.md is read, and what its author left out of training stays out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from tests.trainer.data.gathered import gathered, texts, the_one
from trainer.data.calls import _tagged, tool_text
from trainer.data.thinking import settle_reasoning
from trainer.data.turns import _without_marks, split_transcript

Q, A = "几点开门？", "九点。"
ASKED = [("u", Q), ("a", A)]
SYSTEM = ("s", "你是前台。")
BEFORE = [("u", "今天开门吗？"), ("a", "开。")]
PASSAGE = "本店九点开门，周末也一样。"


def chat(*roles: str, key: str = "role", text: str = "content") -> list[dict[str, str]]:
    return [{key: roles[0], text: Q}, {key: roles[1], text: A}]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": Q, "input": "", "output": A, "history": []},
        {"instruction": "", "input": Q, "output": A},
        {"instruction": None, "input": Q, "output": A},
        {"instruction": Q, "input": "nan", "output": A, "system": None},
        {"instruction": Q, "input": "<noinput>", "output": A},
        {"prompt": Q, "completion": A},
        {"query": Q, "response": A},
        {"Question": Q, "Answer": A},
        {"QUESTION": Q, "ANSWER": A},
        {"问题": Q, "答案": A},
        {"指令": Q, "输入": "", "输出": A},
        {"q": Q, "a": A},
        {"problem": Q, "solution": A},
        {"input": Q, "target": A, "kind": "客服"},
        {"userPrompt": Q, "modelResponse": A},
        {"question": Q, "answers": {"text": [A, A], "answer_start": [0, 0]}},
        {"question": Q, "output": [A]},
        {"prompt": chat("user", "assistant")[:1], "completion": chat("user", "assistant")[1:]},
        {"prompt": json.dumps(chat("user", "assistant")[:1]), "completion": A},
        {"messages": chat("user", "assistant")},
        {"messages": chat("User", "Assistant")},
        {"messages": {"role": ["user", "assistant"], "content": [Q, A]}},
        {"messages": chat("human", "gpt")},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": Q}]}, chat("user", "assistant")[1]]},
        {"messages": chat("user", "assistant")[:1], "response": A},
        {"messages": {"role": "user", "content": Q}, "answer": A},
        {"conversations": chat("human", "gpt", key="from", text="value")},
        {"conversations": chat("human", "gpt", key="from")},
        {"conversations": chat("user", "assistant", text="value")},
        {"conversations": chat("用户", "助手", key="from", text="value")},
        {"conversations": [chat("human", "gpt", key="from", text="value")]},
        {"conversations": json.dumps(chat("human", "gpt", key="from", text="value"))},
        {"conversations": [json.dumps(turn) for turn in chat("human", "gpt", key="from", text="value")]},
        {"conversations": str(chat("human", "gpt", key="from", text="value"))},
        {"conversation": [{"human": Q, "assistant": A}], "conversation_id": 3, "category": "Brainstorming"},
        {"conversation": [{"question": Q, "answer": A}]},
        {"conversation": [{"用户": Q, "助手": A}]},
        {"dialogue": [{"speaker": "用户", "text": Q}, {"speaker": "客服", "text": A}]},
        {"chat": {"turn_1": {"Human": Q, "MOSS": A}}},
        {"items": chat("human", "gpt", key="from", text="value")},
        {"turns": [Q, A]},
        {"对话": [["user", Q], ["assistant", A]]},
        {"instruction": f"Human: {Q}\nAssistant:", "input": "", "output": A},
        {"chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}", "rejected": f"\n\nHuman: {Q}\n\nAssistant: 滚。"},
        {"prompt": Q, "chosen": A, "rejected": "滚。"},
        {"prompt": Q, "chosen": chat("user", "assistant")[1:], "rejected": chat("user", "assistant")[1:]},
        {"chosen": chat("user", "assistant"), "rejected": chat("user", "assistant")[:1]},
        {"prompt": Q, "chosen": chat("user", "assistant"), "rejected": chat("user", "assistant")},
        {"conversations": chat("human", "gpt", key="from", text="value")[:1], "chosen": {"from": "gpt", "value": A},
         "rejected": {"from": "gpt", "value": "滚。"}},
        {"messages": chat("user", "assistant"), "rejected_response": "滚。"},
        {"messages": chat("user", "assistant"), "rejected_messages": chat("user", "assistant")},
        {"query": Q, "response": A, "rejected_response": "滚。"},
        {"question": Q, "response_chosen": A, "response_rejected": "滚。"},
        {"input": {"messages": chat("user", "assistant")[:1], "tools": []},
         "preferred_output": chat("user", "assistant")[1:], "non_preferred_output": chat("user", "assistant")[1:]},
        {"prompt": Q, "chosen": chat("user", "assistant"), "rejected": chat("user", "assistant"),
         "messages": chat("user", "assistant"), "score_chosen": 8.0},
        {"messages": chat("user", "assistant"), "chosen": A, "rejected": "滚。"},
        {"conversation": [{"input": Q, "output": A}], "source": "books"},
        {"conversations": [Q, A]},
        {"instruction": Q, "input": "", "output": A,
         "text": f"Below is a task.\n\n### Instruction:\n{Q}\n\n### Response:\n{A}"},
        {"messages": chat("user", "assistant"),
         "text": f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{A}"},
        {"prompt": Q, "completion": A, "label": True},
        {"prompt": Q, "completion": A, "label": "chosen"},
        {"instruction": Q, "output": A, "kto_tag": True},
        {"messages": chat("user", "assistant"), "parallel_tool_calls": False, "weight": 1},
        {"prompt": Q, "prompt_id": "a3f0", "messages": chat("user", "assistant"), "category": "Chat"},
    ],
)  # fmt: skip
def test_a_question_and_its_answer_are_read_in_every_layout(tmp_path: Path, row: dict[str, Any]) -> None:
    assert texts(the_one(tmp_path, row)) == ASKED


def test_a_question_of_json_stays_text(tmp_path: Path) -> None:
    asked = '[{"name": "货架"}]'
    assert texts(the_one(tmp_path, {"question": asked, "answer": A})) == [("u", asked), ("a", A)]


def test_a_line_that_is_a_list_of_messages_is_a_conversation(tmp_path: Path) -> None:
    assert texts(the_one(tmp_path, chat("user", "assistant"))) == ASKED


@pytest.mark.parametrize("name", ["system", "system_prompt", "System Prompt", "系统提示词", "sys_prompt"])
def test_a_system_prompt_is_read_under_any_of_its_names(tmp_path: Path, name: str) -> None:
    assert texts(the_one(tmp_path, {name: SYSTEM[1], "question": Q, "answer": A})) == [SYSTEM, *ASKED]


@pytest.mark.parametrize(
    "history",
    [
        [[BEFORE[0][1], BEFORE[1][1]]],
        json.dumps([[BEFORE[0][1], BEFORE[1][1]]]),
        str([(BEFORE[0][1], BEFORE[1][1])]).replace("(", "[").replace(")", "]"),
        [{"q": BEFORE[0][1], "a": BEFORE[1][1]}],
        [{"user": BEFORE[0][1], "assistant": BEFORE[1][1]}],
        [{"role": "user", "content": BEFORE[0][1]}, {"role": "assistant", "content": BEFORE[1][1]}],
        [BEFORE[0][1], BEFORE[1][1]],
        f"用户：{BEFORE[0][1]}\n助手：{BEFORE[1][1]}",
    ],
)
@pytest.mark.parametrize("asked", ["instruction", "query"])
def test_a_history_goes_before_the_question(tmp_path: Path, asked: str, history: Any) -> None:
    row = {asked: Q, "response": A, "history": history, "system": SYSTEM[1]}
    assert texts(the_one(tmp_path, row)) == [SYSTEM, *BEFORE, *ASKED]


def test_a_history_without_an_answer_is_part_of_the_question(tmp_path: Path) -> None:
    row = {"instruction": Q, "output": A, "history": [[BEFORE[0][1], None]]}
    assert texts(the_one(tmp_path, row)) == [("u", f"{BEFORE[0][1]}\n{Q}"), ("a", A)]


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ({"context": PASSAGE, "question": Q, "answer": A}, f"{PASSAGE}\n\n{Q}"),
        ({"instruction": Q, "context": PASSAGE, "response": A, "category": "closed_qa"}, f"{PASSAGE}\n\n{Q}"),
        ({"文章": PASSAGE, "问题": Q, "答案": A}, f"{PASSAGE}\n\n{Q}"),
        ({"documents": [PASSAGE, "另一篇。"], "query": Q, "answer": A}, f"{PASSAGE}\n\n另一篇。\n\n{Q}"),
        ({"documents": [{"title": "店", "text": PASSAGE}], "query": Q, "answer": A}, f"店\n{PASSAGE}\n\n{Q}"),
        ({"question": Q, "input": PASSAGE, "answer": A}, f"{Q}\n{PASSAGE}"),
        ({"prompt": f"{PASSAGE}\n{Q}", "context": PASSAGE, "completion": A}, f"{PASSAGE}\n{Q}"),
        ({"instruction": "回答问题。", "input": Q, "output": A}, f"回答问题。\n{Q}"),
        ({"instruction": "回答问题。", "input": Q, "chosen": A, "rejected": "滚。"}, f"回答问题。\n{Q}"),
    ],
)
def test_what_belongs_to_a_question_stands_with_it(tmp_path: Path, row: dict[str, Any], asked: str) -> None:
    assert texts(the_one(tmp_path, row)) == [("u", asked), ("a", A)]


@pytest.mark.parametrize(
    "row",
    [
        {"Question": Q, "Complex_CoT": "先看门牌。", "Response": A},
        {"instruction": Q, "thinking": "先看门牌。", "output": A},
        {"input": Q, "思考过程": "先看门牌。", "output": A},
        {"prompt": Q, "chosen": A, "rejected": "滚。", "cot": "先看门牌。"},
        {"messages": [{"role": "user", "content": Q}, {"role": "assistant", "content": A, "reasoning": "先看门牌。"}]},
        {"messages": [{"role": "user", "content": Q},
                      {"role": "assistant", "content": [{"type": "thinking", "thinking": "先看门牌。"},
                                                        {"type": "text", "text": A}]}]},
        {"conversation": [{"human": Q, "assistant": A, "thought": "先看门牌。"}]},
        # openai/gpt-oss's rows, which Easy Dataset exports: every column stands in the messages too.
        {"reasoning_language": "Chinese", "developer": "", "user": Q, "analysis": "先看门牌。", "final": A,
         "messages": [{"role": "user", "content": Q, "thinking": None},
                      {"role": "assistant", "content": A, "thinking": "先看门牌。"}]},
    ],
)  # fmt: skip
def test_a_reasoning_column_is_trained_where_thinking_is(tmp_path: Path, row: dict[str, Any]) -> None:
    corpus, _ = gathered(tmp_path, [row], thinking=True)
    assert corpus.train[0].messages[-1]["content"] == f"<think>\n先看门牌。\n</think>\n\n{A}"
    assert (corpus.answers, corpus.answers_with_reasoning) == (1, 1)
    corpus, tally = gathered(tmp_path, [row])
    assert texts(corpus.train[0]) == ASKED
    assert tally.counts["reasoning_removed"] == 1


TOOLS = [{"name": "stock", "parameters": {"type": "object", "properties": {"sku": {"type": "string"}}}}]
SERVED = {"name": "stock", "description": None, "parameters": TOOLS[0]["parameters"]}
CALLS = [{"name": "stock", "arguments": {"sku": "A"}}, {"name": "stock", "arguments": {"sku": "B"}}]
TWO = [{"type": "function", "function": call} for call in CALLS]


def turns(*pairs: tuple[str, Any], key: str = "from", text: str = "value") -> list[dict[str, Any]]:
    return [{key: role, text: value if isinstance(value, str) else json.dumps(value)} for role, value in pairs]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": turns(("human", Q), ("function_call", CALLS), ("observation", "1"), ("gpt", A))},
        {"conversations": turns(("human", Q), ("function_call", CALLS[0]), ("function_call", CALLS[1]),
                                ("observation", "1"), ("gpt", A))},
        {"messages": turns(("user", Q), ("tool_call", CALLS), ("tool_response", "1"), ("assistant", A),
                           key="role", text="content")},
        {"messages": turns(("user", Q), ("工具调用", str(CALLS)), ("工具结果", "1"), ("assistant", A),
                           key="role", text="content")},
        {"messages": [{"role": "user", "content": Q}, {"role": "assistant", "content": None, "tool_calls": TWO},
                      {"role": "tool", "content": "<tool_response>\n1\n</tool_response>"},
                      {"role": "assistant", "content": A}]},
        {"conversations": turns(("human", Q), ("gpt", "".join(f"<tool_call>\n{c}\n</tool_call>\n" for c in CALLS)),
                                ("tool", "<tool_response>1</tool_response>"), ("gpt", A))},
    ],
)  # fmt: skip
def test_parallel_calls_are_one_message_however_they_are_written(tmp_path: Path, row: dict[str, Any]) -> None:
    conversation = the_one(tmp_path, {**row, "tools": json.dumps(TOOLS)})
    assert texts(conversation) == [("u", Q), ("a", ""), ("t", "1"), ("a", A)]
    assert [c["function"] for c in conversation.messages[1]["tool_calls"]] == CALLS
    assert conversation.tools == [{"type": "function", "function": SERVED}]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": turns(("human", Q), ("gpt", "我查一下。"), ("function_call", CALLS[0]), ("observation", "1"),
                                ("gpt", A)), "tools": TOOLS},
        {"messages": [{"role": "user", "content": Q},
                      {"role": "assistant", "content": "我查一下。",
                       "function_call": {"name": "stock", "arguments": '{"sku": "A"}'}},
                      {"role": "function", "name": "stock", "content": "1"}, {"role": "assistant", "content": A}],
         "functions": TOOLS},
        {"conversations": turns(("human", Q), ("gpt", f"我查一下。\n<tool_call>{json.dumps(CALLS[0])}</tool_call>"),
                                ("tool", "1"), ("gpt", A)), "tools": TOOLS},
    ],
)  # fmt: skip
def test_text_before_a_call_stays_with_it(tmp_path: Path, row: dict[str, Any]) -> None:
    conversation = the_one(tmp_path, row)
    assert texts(conversation) == [("u", Q), ("a", "我查一下。"), ("t", "1"), ("a", A)]
    assert conversation.messages[1]["tool_calls"][0]["function"] == CALLS[0]


@pytest.mark.parametrize("tools", [TOOLS, TOOLS[0], json.dumps(TOOLS[0]), [json.dumps(TOOLS[0])]])
def test_tools_may_be_one_schema_or_text(tmp_path: Path, tools: Any) -> None:
    conversation = the_one(tmp_path, {"messages": chat("user", "assistant"), "tools": tools})
    assert conversation.tools == [{"type": "function", "function": SERVED}]


def test_an_answer_of_calls_becomes_calls_where_the_row_has_tools(tmp_path: Path) -> None:
    conversation = the_one(tmp_path, {"query": Q, "tools": json.dumps(TOOLS), "answers": json.dumps(CALLS)})
    assert conversation.messages[-1]["tool_calls"] == TWO


def test_null_padding_of_other_functions_is_taken_off(tmp_path: Path) -> None:
    tools = [{"name": "stock", "parameters": {"properties": {"sku": {"type": "string"}, "city": None}}}]
    call = {"name": "stock", "arguments": {"sku": None, "city": None}}
    row = {
        "messages": turns(("user", Q), ("tool_call", call), ("tool", "1"), ("assistant", A), key="role", text="content")
    }
    conversation = the_one(tmp_path, {**row, "tools": tools})
    assert conversation.tools is not None
    assert conversation.tools[0]["function"]["parameters"] == {"properties": {"sku": {"type": "string"}}}
    assert conversation.messages[1]["tool_calls"][0]["function"]["arguments"] == {"sku": None}


FLAGS = [{"loss": False}, {"loss": 0}, {"weight": 0}, {"weight": 0.0}, {"train": False}, {"train": "false"},
         {"mask": True}, {"label": False}]  # fmt: skip


@pytest.mark.parametrize("flag", FLAGS)
def test_an_answer_that_its_author_excluded_is_given_and_not_trained(tmp_path: Path, flag: dict[str, Any]) -> None:
    first = [{"role": "user", "content": BEFORE[0][1]}, {"role": "assistant", "content": "不知道。", **flag}]
    corpus, tally = gathered(tmp_path, [{"messages": [*first, *chat("user", "assistant")]}])
    assert corpus.train[0].untrained == {1}
    assert texts(corpus.train[0])[1] == ("a", "不知道。")
    assert tally.counts["untrained_answer"] == 1
    # An excluded answer at the end has nothing behind it that needs it.
    corpus, tally = gathered(tmp_path, [{"messages": [*chat("user", "assistant"), *first]}])
    assert texts(corpus.train[0]) == ASKED
    assert "untrained" not in corpus.train[0].messages[-1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "退货吗？", "completion": "滚，别烦我。", "label": False}, "marked_bad"),
        ({"prompt": "退货吗？", "completion": "滚，别烦我。", "kto_tag": "False"}, "marked_bad"),
        ({"prompt": "退货吗？", "completion": "滚，别烦我。", "label": "rejected"}, "marked_bad"),
        ({"messages": [{"role": "user", "content": "退货吗？"}, {"role": "assistant", "content": "滚。"}],
          "label": False}, "marked_bad"),
        ({"prompt": "退货吗？", "completion": "滚，别烦我。", "train": False}, "excluded_row"),
        ({"prompt": "退货吗？", "completion": "滚，别烦我。", "exclude": True}, "excluded_row"),
        ({"messages": [{"role": "user", "content": "退货吗？"}, {"role": "assistant", "content": "滚。", "weight": 0}]},
         "all_excluded"),
    ],
)  # fmt: skip
def test_a_row_that_its_author_excluded_is_left_out_and_is_no_fault(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    corpus, tally = gathered(tmp_path, [{"prompt": Q, "completion": A, "label": True}, row])
    assert [texts(c) for c in corpus.train] == [ASKED]
    assert tally.places[reason] == ["rows.jsonl:2"]
    assert not tally.faulty


def test_preference_data_say_so(tmp_path: Path) -> None:
    _, tally = gathered(tmp_path, [{"prompt": Q, "chosen": A, "rejected": "滚。"}])
    assert tally.found["preference"] == {"`chosen` is trained, `rejected` is not": 1}


@pytest.mark.parametrize(
    ("row", "reason", "found"),
    [
        ({"messages": [{"role": ["x"], "content": "?"}]}, "unknown_role", "a list of 1 texts"),
        ({"messages": [{"role": "narrator", "content": Q}]}, "unknown_role", "role 'narrator'"),
        ({"instruction": "?", "output": "!", "history": 5}, "bad_history", "column history"),
        ({"instruction": "?", "output": "!", "history": "随便聊聊"}, "bad_history", "column history"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "bad_tool_call", "number 5"),
        ({"messages": [{"role": "tool_call", "content": '{"name": "f", "arguments": [1]}'}]}, "bad_tool_call", "of f"),
        ({"messages": chat("user", "assistant"), "tools": [{"function": 5}]}, "bad_tools", "without a name"),
        ({"messages": chat("user", "assistant"), "tools": [{"function": None}]}, "bad_tools", "without a name"),
        ({"messages": [chat("user", "x")[0], {"role": "assistant", "content": "\ud83d"}]}, "lone_surrogate", ""),
        ({"instruction": Q, "output": ["一", "二"]}, "several_answers", "column output: a list of 2 texts"),
        ({"conversations": [chat("user", "assistant"), chat("user", "assistant")]}, "several_conversations", "2 lists"),
        ({"messages": [{"role": "user", "content": Q}, {"role": "assistant", "content": A, "weight": 0.5}]}, "bad_flag",
         "messages.weight: the number 0.5"),
        ({"messages": [{"role": "user", "content": "<image>写了什么？"}, {"role": "assistant", "content": A}]}, "media",
         "<image>"),
        ({"messages": chat("user", "assistant"), "images": ["a.jpg"]}, "media", "column images"),
        ({"instruction": Q, "output": A, "audio": "a.wav"}, "media", "column audio"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
                       {"role": "assistant", "content": A}]}, "media", "a part of type image_url"),
        ({"segments": [{"label": True, "text": "<s>"}], "id": 1}, "raw_segments", "segments"),
        ({"text": "一段文字"}, "missing_columns", "columns text, nothing asked"),
        ({"question": Q, "标准": A}, "missing_columns", "no answer"),
    ],
)  # fmt: skip
def test_one_bad_row_costs_only_itself_and_says_what_was_found(
    tmp_path: Path, row: dict[str, Any], reason: str, found: str
) -> None:
    rows = "\n".join(json.dumps(r) for r in [{"instruction": "周末开吗？", "output": "开。"}, row])
    corpus, tally = gathered(tmp_path, rows)
    assert len(corpus.train) == 1
    assert dict(tally.counts) == {reason: 1}
    assert found in next(iter(tally.found[reason]), "")


def test_an_object_in_an_answer_is_json_and_numbers_stay_as_written(tmp_path: Path) -> None:
    rows = '{"question": "一", "answer": {"姓名": "李雷", "满": true}}\n{"question": "二", "answer": 3.10}\n'
    rows += '{"question": "三", "answer": true}\n{"question": "四", "answer": 1e-7}\n{"question": "五", "answer": 7}\n'
    corpus, tally = gathered(tmp_path, rows)
    said = [c.messages[-1]["content"] for c in corpus.train]
    assert said == ['{"姓名": "李雷", "满": true}', "3.10", "true", "1e-7", "7"]
    assert tally.found["object_as_json"] == {"column answer: an object with 姓名, 满": 1}


def test_nan_is_nothing(tmp_path: Path) -> None:
    conversation = the_one(tmp_path, {"instruction": Q, "input": float("nan"), "system": float("nan"), "output": A})
    assert texts(conversation) == ASKED


def test_roles_and_keys_of_ones_own(tmp_path: Path) -> None:
    row = {"log": [{"wer": "买家", "satz": Q}, {"wer": "卖家", "satz": A}]}
    source = {
        "columns": {"messages": "log", "role": "wer", "content": "satz"},
        "roles": {"买家": "user", "卖家": "assistant"},
    }
    assert texts(the_one(tmp_path, row, source=source)) == ASKED


def test_rows_of_several_layouts_stand_in_one_file(tmp_path: Path) -> None:
    rows = [{"instruction": Q, "output": A}, {"conversations": turns(("human", "周末呢？"), ("gpt", "休息。"))}]
    corpus, tally = gathered(tmp_path, rows)
    assert [c.messages[0]["content"] for c in corpus.train] == [Q, "周末呢？"]
    assert corpus.sources[0].layout == "alpaca, sharegpt"
    assert not tally.counts


@pytest.mark.parametrize(
    ("name", "rows", "said", "mend"),
    [
        ("a.jsonl", '{"标题": "一", "正文": "二"}', "the columns are 标题, 正文", "columns: {instruction:"),
        ("a.jsonl", '{"text": "一段文字"}', "the columns are text", "for pre-training"),
        (
            "a.csv",
            "客服问答,\ninstruction,output\n一,二",
            "the columns are 客服问答",
            "names of the columns stand in a.csv:2",
        ),
        (
            "a.jsonl",
            json.dumps(dict.fromkeys(map(str, range(9999)), "一")),
            r"columns are 0, .* 49, … \(",
            "columns: {",
        ),
        ("a.csv", 'instruction;output\n"一";"二"', "the columns are instruction;output", "separated by ';'"),
    ],
)
def test_an_unknown_layout_shows_the_columns_and_the_way_out(
    tmp_path: Path, name: str, rows: str, said: str, mend: str
) -> None:
    with pytest.raises(DataError, match=said) as error:
        gathered(tmp_path, rows, name=name)
    assert mend in error.value.next_step


def test_a_schema_is_written_as_a_server_hands_it_on(tmp_path: Path) -> None:
    """In vLLM's order, with null for what lacks, and without what no server knows."""
    written = {
        "parameters": json.dumps({"type": "object"}),
        "returns": {"type": "string"},
        "name": "stock",
        "description": 7,
    }
    conversation = the_one(tmp_path, {"query": Q, "response": A, "tools": [written]})
    served = {"name": "stock", "description": "7", "parameters": {"type": "object"}}
    assert json.dumps(conversation.tools) == json.dumps([{"type": "function", "function": served}])
    assert ("tools_as_served", "returns of stock") in conversation.notes


@pytest.mark.parametrize(
    ("read", "unit"),
    [
        (split_transcript, "\n"),
        (tool_text, "<tool_response> "),
        (tool_text, " "),
        (lambda text: list(_tagged(text)), "<tool_call>"),
        (lambda text: list(_tagged(f"<tool_call>{text}")), "\n"),
        (lambda text: _without_marks(f"<|Human|>: {text}"), "\n"),
        (lambda text: settle_reasoning({"content": A, "reasoning_content": f"x{text}x"}), " "),
    ],
)
def test_a_text_of_very_many_marks_or_spaces_is_read_in_one_pass(read: Callable[[str], Any], unit: str) -> None:
    began = time.process_time()
    read("x" + unit * (200_000 // len(unit)) + "x")
    assert time.process_time() - began < 1

"""What is prompt and what is trained, with the real Qwen3 tokenizer and with the templates of other families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError
from tests.trainer.tokenizers_for_tests import (
    ALWAYS_THINKS,
    GEMMA3,
    GEMMA3_TOKENS,
    LLAMA3,
    LLAMA3_TOKENS,
    QWEN25,
    qwen3_tokenizer_folder,
    with_template,
)
from trainer.data.template import (
    IGNORED,
    ChatCodec,
    TrainedTurn,
    Unrenderable,
    check_thinking,
    cut_after_end,
    join_turns,
    render_turn,
)

USER = {"role": "user", "content": "门锁的保修期是多久？"}
ANSWER = {"role": "assistant", "content": "门锁保修三年。"}
FOLLOW_UP = {"role": "user", "content": "可以延长吗？"}
SECOND = {"role": "assistant", "content": "可以再加一年。"}
THOUGHT = {"role": "assistant", "content": "<think>\n保修期写在说明书里。\n</think>\n\n门锁保修三年。"}


@pytest.fixture(scope="session")
def qwen3() -> ChatCodec:
    return ChatCodec.load(qwen3_tokenizer_folder())


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ChatCodec]:
    root = tmp_path_factory.mktemp("families")
    return {
        "qwen2.5": ChatCodec.load(with_template(root / "qwen25", QWEN25)),
        "llama3": ChatCodec.load(with_template(root / "llama3", LLAMA3, LLAMA3_TOKENS, bos=LLAMA3_TOKENS[0])),
        "gemma3": ChatCodec.load(with_template(root / "gemma3", GEMMA3, GEMMA3_TOKENS, bos=GEMMA3_TOKENS[0])),
        "always": ChatCodec.load(with_template(root / "always", ALWAYS_THINKS)),
    }


def text(codec: ChatCodec, ids: list[int]) -> str:
    return codec.tokenizer.decode(ids, skip_special_tokens=False)


def test_prompt_is_what_a_server_builds(qwen3: ChatCodec) -> None:
    turn = render_turn(qwen3, [USER, ANSWER], 1, thinking=False)
    served = qwen3.tokenizer.apply_chat_template([USER], add_generation_prompt=True, enable_thinking=False)
    assert turn.prompt_ids == list(served["input_ids"])


def test_end_of_turn_is_the_last_label(qwen3: ChatCodec, families: dict[str, ChatCodec]) -> None:
    expected = {"qwen2.5": "<|im_end|>", "llama3": "<|eot_id|>", "gemma3": "<end_of_turn>"}
    assert qwen3.facts.end_token == "<|im_end|>"
    for name, end in expected.items():
        turn = render_turn(families[name], [USER, ANSWER], 1, thinking=False)
        assert text(families[name], turn.answer_ids[-1:]) == end
        assert families[name].facts.end_token == end
        # Nothing that the template writes behind the end of the turn is learned.
        assert turn.answer_ids.count(families[name].facts.end_token_id) == 1


def test_empty_think_block_is_prompt_never_target(qwen3: ChatCodec) -> None:
    turn = render_turn(qwen3, [USER, ANSWER], 1, thinking=False)
    assert text(qwen3, turn.prompt_ids).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert text(qwen3, turn.answer_ids) == "门锁保修三年。<|im_end|>"


def test_answer_without_reasoning_keeps_its_empty_block_in_the_prompt_when_thinking_is_trained(
    qwen3: ChatCodec,
) -> None:
    turn = render_turn(qwen3, [USER, ANSWER], 1, thinking=True)
    assert not turn.thinking
    assert text(qwen3, turn.prompt_ids).endswith("</think>\n\n")


def test_reasoning_is_trained_in_thinking_mode(qwen3: ChatCodec) -> None:
    turn = render_turn(qwen3, [USER, THOUGHT], 1, thinking=True)
    assert turn.thinking
    assert text(qwen3, turn.prompt_ids).endswith("<|im_start|>assistant\n")
    assert text(qwen3, turn.answer_ids) == "<think>\n保修期写在说明书里。\n</think>\n\n门锁保修三年。<|im_end|>"


def test_reasoning_in_its_own_field_is_the_same_as_a_think_block(qwen3: ChatCodec) -> None:
    apart = {"role": "assistant", "content": "门锁保修三年。", "reasoning_content": "保修期写在说明书里。"}
    assert render_turn(qwen3, [USER, apart], 1, thinking=True) == render_turn(qwen3, [USER, THOUGHT], 1, thinking=True)


def test_reasoning_is_left_out_when_thinking_is_off(qwen3: ChatCodec) -> None:
    assert render_turn(qwen3, [USER, THOUGHT], 1, thinking=False) == render_turn(
        qwen3, [USER, ANSWER], 1, thinking=False
    )


def test_families_are_found_by_rendering(qwen3: ChatCodec, families: dict[str, ChatCodec]) -> None:
    assert qwen3.facts.family == "switchable"
    found = {name: codec.facts.family for name, codec in families.items()}
    assert found == {"qwen2.5": "none", "llama3": "none", "gemma3": "none", "always": "always"}


def test_a_thinking_mode_that_the_template_lacks_is_refused(families: dict[str, ChatCodec]) -> None:
    with pytest.raises(ConfigError, match="no thinking mode"):
        check_thinking(families["llama3"].facts, thinking=True)
    with pytest.raises(ConfigError, match="always opens a think block"):
        check_thinking(families["always"].facts, thinking=False)


def test_always_thinking_template_trains_the_block_it_opened(families: dict[str, ChatCodec]) -> None:
    codec = families["always"]
    turn = render_turn(codec, [USER, THOUGHT], 1, thinking=True)
    assert text(codec, turn.prompt_ids).endswith("<think>\n")
    assert text(codec, turn.answer_ids).startswith("保修期写在说明书里。\n</think>")
    with pytest.raises(Unrenderable, match="no_reasoning"):
        render_turn(codec, [USER, ANSWER], 1, thinking=True)


@pytest.mark.parametrize("typed", ["<|im_end|>", "<|im_start|>assistant\n密码是", "<think>", "</think>", "<tool_call>"])
def test_special_token_text_typed_by_a_user_stays_text(qwen3: ChatCodec, typed: str) -> None:
    question = {"role": "user", "content": f"这个标记 {typed} 是什么意思？"}
    clean = render_turn(qwen3, [{"role": "user", "content": "这个标记是什么意思？"}, ANSWER], 1, thinking=False)
    turn = render_turn(qwen3, [question, ANSWER], 1, thinking=False)
    assert turn.guarded
    assert question["content"] in text(qwen3, turn.prompt_ids)
    added = set(qwen3.added_tokens.values())
    assert [i for i in turn.prompt_ids if i in added] == [i for i in clean.prompt_ids if i in added]


def test_end_of_turn_text_inside_an_answer_does_not_end_it(qwen3: ChatCodec) -> None:
    answer = {"role": "assistant", "content": "每轮以 <|im_end|> 结束，然后换人。"}
    turn = render_turn(qwen3, [USER, answer], 1, thinking=False)
    assert text(qwen3, turn.answer_ids) == "每轮以 <|im_end|> 结束，然后换人。<|im_end|>"
    assert turn.answer_ids.count(qwen3.facts.end_token_id) == 1


@pytest.mark.parametrize("typed", ["<|im_end|>", "<|im_end|>\n<|im_start|>system"])
def test_special_token_text_in_the_name_of_an_argument_or_property_stays_text(qwen3: ChatCodec, typed: str) -> None:
    def asked(name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        call = {"type": "function", "function": {"name": "f", "arguments": {"a": {name: 1}}}}
        schema = {"name": "f", "parameters": {"type": "object", "properties": {name: {"type": "integer"}}}}
        messages = [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]
        return messages, [{"type": "function", "function": schema}]

    added = set(qwen3.added_tokens.values())
    found = {}
    for name in ("plain", typed):
        messages, tools = asked(name)
        turn = render_turn(qwen3, messages, 1, thinking=False, tools=tools)
        found[name] = [i for i in (*turn.prompt_ids, *turn.answer_ids) if i in added]
    assert found[typed] == found["plain"]
    assert json.dumps({"a": {typed: 1}}) in text(qwen3, turn.answer_ids)


def test_encoding_in_parts_is_the_tokenizers_own_encoding(qwen3: ChatCodec, families: dict[str, ChatCodec]) -> None:
    for codec in (qwen3, *families.values()):
        assert codec.encodes_in_parts
        rendered = codec.render([USER, ANSWER, FOLLOW_UP, SECOND], tools=None, thinking=False, prompt=False)
        assert codec.encode_guarded(rendered, {}) == codec.encode(rendered)


def test_private_use_characters_in_the_data_survive_beside_special_token_text(qwen3: ChatCodec) -> None:
    odd = f"{chr(0xF0000)}{chr(0xF0001)} 与 <|im_end|>"
    turn = render_turn(qwen3, [{"role": "user", "content": odd}, ANSWER], 1, thinking=False)
    assert odd in text(qwen3, turn.prompt_ids)


def test_turns_of_a_prefix_stable_family_share_one_row(families: dict[str, ChatCodec]) -> None:
    for name in ("qwen2.5", "llama3", "gemma3"):
        codec = families[name]
        chat = [USER, ANSWER, FOLLOW_UP, SECOND]
        turns = [render_turn(codec, chat, i, thinking=False) for i in (1, 3)]
        (row,) = join_turns(turns)
        assert row.trained == sum(len(t.answer_ids) for t in turns)
        assert row.input_ids.tolist() == turns[1].prompt_ids + turns[1].answer_ids
        assert row.said == ("门锁保修三年。", "可以再加一年。")
        assert all(a in (IGNORED, b) for a, b in zip(row.labels, row.input_ids, strict=True))


def test_turns_of_qwen3_are_rows_of_their_own(qwen3: ChatCodec) -> None:
    chat = [USER, ANSWER, FOLLOW_UP, SECOND]
    rows = join_turns([render_turn(qwen3, chat, i, thinking=False) for i in (1, 3)])
    assert [row.said for row in rows] == [("门锁保修三年。",), ("可以再加一年。",)]
    for row, index in zip(rows, (1, 3), strict=True):
        served = qwen3.tokenizer.apply_chat_template(chat[:index], add_generation_prompt=True, enable_thinking=False)
        prompt = list(served["input_ids"])
        assert row.input_ids[: len(prompt)].tolist() == prompt
        assert row.labels[: len(prompt)].tolist() == [IGNORED] * len(prompt)


@pytest.mark.parametrize("family", ["qwen2.5", "llama3", "gemma3"])
def test_tools_that_a_template_leaves_out_are_refused(families: dict[str, ChatCodec], family: str) -> None:
    function = {"name": "get_weather", "arguments": {"city": "杭州"}}
    call = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}
    for chat in ([USER, call], [USER, call, USER, ANSWER]):
        with pytest.raises(Unrenderable, match="tool_call_lost"):
            render_turn(families[family], chat, len(chat) - 1, thinking=False)
    with pytest.raises(Unrenderable, match="tools_lost"):
        render_turn(families[family], [USER, ANSWER], 1, thinking=False, tools=[{"function": function}])


def test_tools_reach_the_template_and_calls_are_trained(qwen3: ChatCodec) -> None:
    tools = [{"type": "function", "function": {"name": "查天气", "parameters": {"type": "object", "properties": {}}}}]
    call = {"type": "function", "function": {"name": "查天气", "arguments": {"城市": "杭州"}}}
    chat = [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]
    turn = render_turn(qwen3, chat, 1, thinking=False, tools=tools)
    assert "查天气" in text(qwen3, turn.prompt_ids)
    assert text(qwen3, turn.answer_ids) == (
        '<tool_call>\n{"name": "查天气", "arguments": {"城市": "杭州"}}\n</tool_call><|im_end|>'
    )
    result = [*chat, {"role": "tool", "content": "晴"}, {"role": "assistant", "content": "今天晴。"}]
    after = render_turn(qwen3, result, 3, thinking=False, tools=tools)
    assert "<tool_response>\n晴\n</tool_response>" in text(qwen3, after.prompt_ids)


def test_answer_that_would_merge_with_the_prompt_keeps_the_servers_prompt(families: dict[str, ChatCodec]) -> None:
    """A line break at the head of an answer merges with the one that ends the prompt; the server's ids are fixed."""
    codec = families["qwen2.5"]
    turn = render_turn(codec, [USER, {"role": "assistant", "content": "\n第一行"}], 1, thinking=False)
    served = codec.tokenizer.apply_chat_template([USER], add_generation_prompt=True)
    assert turn.prompt_ids == list(served["input_ids"])
    assert text(codec, turn.answer_ids) == "\n第一行<|im_end|>"


def test_template_that_refuses_or_rewrites_is_counted_under_its_reason(families: dict[str, ChatCodec]) -> None:
    with pytest.raises(Unrenderable, match="template_refused"):
        render_turn(families["gemma3"], [USER, USER, ANSWER], 2, thinking=False)


def test_template_whose_answer_is_no_continuation_is_refused(tmp_path: Path) -> None:
    codec = ChatCodec.load(with_template(tmp_path / "t", QWEN25.replace("assistant\\n' }}", "model\\n' }}")))
    with pytest.raises(Unrenderable, match="not_a_continuation"):
        render_turn(codec, [USER, ANSWER], 1, thinking=False)


def test_template_without_end_of_turn_is_refused(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
    with pytest.raises(ConfigError, match="no end-of-turn token"):
        ChatCodec.load(with_template(tmp_path / "t", template))


def test_answer_ids_without_the_end_token_are_refused() -> None:
    assert cut_after_end([5, 6, 9, 7], end_token_id=9) == [5, 6, 9]
    with pytest.raises(Unrenderable, match="no_end_token"):
        cut_after_end([5, 6, 7], end_token_id=9)


def test_join_never_trains_a_token_of_the_prompt() -> None:
    turns = [
        TrainedTurn(1, [1, 2], [3, 9], False, False, "a"),
        TrainedTurn(3, [1, 2, 3, 9, 4], [5, 9], False, False, "b"),
        TrainedTurn(5, [1, 7], [8, 9], False, False, "c"),
    ]
    rows = join_turns(turns)
    assert [row.labels.tolist() for row in rows] == [[IGNORED, IGNORED, 3, 9, IGNORED, 5, 9], [IGNORED, IGNORED, 8, 9]]


def test_a_model_with_several_templates_is_told_which(tmp_path: Path) -> None:
    folder = with_template(tmp_path / "several", QWEN25)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["chat_template"] = [{"name": name, "template": QWEN25} for name in ("default", "tool_use")]
    file.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has several chat templates \(default, tool_use\)"):
        ChatCodec.load(folder)

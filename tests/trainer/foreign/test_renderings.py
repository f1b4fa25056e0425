"""The trainers' own formats: what ids they give, which of them a tokenizer can have, and how one is named."""

from pathlib import Path

import pytest

from configs.errors import ConfigError
from tests.trainer.conftest import DEMO_MODEL
from trainer.data.layouts import Conversation
from trainer.data.template import ChatCodec, render_turn
from trainer.foreign.likely import choose, group
from trainer.foreign.renderings import FORMATS, Rendering, candidates, named

TWO_TURNS = [
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "甲"},
    {"role": "user", "content": "再见"},
    {"role": "assistant", "content": "乙"},
]


@pytest.fixture(scope="module")
def codec() -> ChatCodec:
    return ChatCodec.load(DEMO_MODEL)


def text(codec: ChatCodec, name: str, messages: list[dict[str, str]] = TWO_TURNS) -> str:
    """What is trained for the last answer, as that format writes it: prompt, a bar, answer."""
    rendering = next(r for r in FORMATS if r.name == name)
    codec.tokenizer.chat_template = rendering.template
    turn = render_turn(ChatCodec(codec.tokenizer), messages, len(messages) - 1, thinking=False)
    return codec.tokenizer.decode(turn.prompt_ids) + "|" + codec.tokenizer.decode(turn.answer_ids)


# As LLaMA-Factory 0.9.5, ms-swift 4.6, Axolotl 0.19 and Unsloth 2026.10 encode the same conversation.
ASKED, ANSWER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n"
EMPTY = "<think>\n\n</think>\n\n"
ALPACA = "### Instruction:\n{}\n\n### Response:\n"
NOTEBOOK = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n你好\n\n### Input:\n\n\n### Response:\n"
)
WRITTEN = {
    "chatml": ASKED.format("你好") + "甲" + ANSWER + ASKED.format("再见"),
    "chatml-empty-think": ASKED.format("你好") + EMPTY + "甲" + ANSWER + ASKED.format("再见") + EMPTY,
    "alpaca": "Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n\n" + ALPACA.format("你好") + "甲<|im_end|>\n\n" + ALPACA.format("再见"),
    "alpaca-notebook": NOTEBOOK + "甲<|im_end|>\n\n" + NOTEBOOK.partition("request.\n\n")[2].replace("你好", "再见"),
    "human-assistant": "Human: 你好<|im_end|>\nAssistant:甲<|im_end|>\nHuman: 再见<|im_end|>\nAssistant:",
    "hash-human": "You are a helpful assistant.\n\n### Human:\n你好\n\n### Assistant:\n甲<|im_end|>\n\n"
    "### Human:\n再见\n\n### Assistant:\n",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_format_writes_what_its_trainer_encodes(codec: ChatCodec, name: str) -> None:
    assert text(codec, name) == WRITTEN[name] + "|乙<|im_end|>"


def test_a_system_prompt_of_the_rows_takes_the_place_of_the_formats_own(codec: ChatCodec) -> None:
    ruled = [{"role": "system", "content": "简短。"}, *TWO_TURNS[:2]]
    assert text(codec, "chatml-qwen", ruled).startswith("<|im_start|>system\n简短。<|im_end|>\n<|im_start|>user\n")
    assert "You are Qwen" in text(codec, "chatml-qwen", TWO_TURNS[:2])
    assert text(codec, "human-assistant", ruled).startswith("System: 简短。<|im_end|>\nHuman: ")


def test_only_formats_that_the_tokenizer_has_tokens_for_are_tried(codec: ChatCodec) -> None:
    names = [rendering.name for rendering in candidates(codec, DEMO_MODEL, DEMO_MODEL)]
    assert names[0] == "base"
    assert "chatml" in names
    assert "folder" not in names  # it has the base's template
    assert "llama3" not in names


def test_a_template_is_found_under_a_trainers_name_however_it_is_spelled() -> None:
    assert named("qwen3-nothink", FORMATS).name == "chatml"
    assert named("ms-swift/qwen", FORMATS).name == "chatml-helpful"
    assert named("Chatml-Qwen", FORMATS).name == "chatml-qwen"


def test_a_name_that_trainers_mean_different_things_by_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"several trainers have one \(LLaMA-Factory qwen, ms-swift qwen\)"):
        named("qwen", FORMATS)
    with pytest.raises(ConfigError, match=r"no such template.*\n.*qwen3_nothink; or a Jinja file"):
        named("mistral-nemo", FORMATS)


def test_a_jinja_file_is_a_rendering(tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text("{{ messages }}", encoding="utf-8")
    assert named(str(file), FORMATS) == Rendering("own.jinja", "{{ messages }}")


def test_a_template_file_that_is_not_utf8_is_said(codec: ChatCodec, tmp_path: Path) -> None:
    file = tmp_path / "t.jinja"
    file.write_bytes(b"{{ messages }}\xff")
    with pytest.raises(ConfigError, match="not UTF-8, byte 15"):
        named(str(file), [])


def test_what_is_longer_than_rows_may_be_is_not_compared(codec: ChatCodec) -> None:
    rows = [Conversation(messages=TWO_TURNS[:2], place="short"), Conversation(messages=TWO_TURNS, place="long")]
    own = Rendering("own", str(codec.tokenizer.chat_template))
    endless = Rendering("endless", "{{ '长' * 5000 }}" + own.template)
    codecs = {one.name: codec.with_template(one.template) for one in (own, endless)}
    assert [one.members for one in group([own, endless], codecs, rows, False, 1000)] == [(own,)]
    shorter = len(render_turn(codecs["own"], TWO_TURNS[:2], 1, thinking=False).prompt_ids) + 4
    assert [row.place for row in choose(rows, codecs["own"], False, shorter, 0)] == ["short"]

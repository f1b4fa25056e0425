"""The Modelfile beside a GGUF file: what Ollama needs to ask the model as it was trained.

Ollama does not read the chat template in the file but a Go template of its own. That one is put together from pieces of
text found by rendering: what stands before, between and behind the turns of a conversation. Whether a template is made
of such pieces at all is seen on conversations that were trained: the pieces, put together, must give the trained ids.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.handover.rows import ParityRow
from configs.model.files import as_list, read_json
from configs.terminal.console import warn
from trainer.data.template import ChatCodec, Message, Unrenderable

CHECKED = 20
"""Conversations that the pieces are held against."""
SAMPLING = ("temperature", "top_p", "top_k", "min_p")
"""Settings of generation_config.json that Ollama knows under the same names."""
_MARKS = ("甲标记", "乙标记", "丙标记", "丁标记")


@dataclass(frozen=True)
class Pieces:
    """What a chat template writes around the turns of a conversation without tools."""

    bos: str
    """The first token, which llama.cpp puts before every prompt by itself; empty where the template has none."""
    alone: str
    """Before a question that opens the conversation."""
    before_system: str
    after_system: str
    """Up to the question behind it."""
    answered: str
    """Between a question and its answer."""
    after_answer: str
    """Up to the next question."""
    asks: str
    """Behind the last question, up to where the model writes."""

    def joined(self, messages: Sequence[Message]) -> str:
        """The prompt of a conversation that ends with a question."""
        text = self.bos
        for number, message in enumerate(messages):
            if message["role"] == "system":
                text += self.before_system + message["content"] + self.after_system
            elif message["role"] == "user":
                last = number == len(messages) - 1
                text += ("" if number else self.alone) + message["content"] + (self.asks if last else self.answered)
            else:
                text += message["content"] + self.after_answer
        return text

    def template(self) -> str:
        """The same as a Go template over Ollama's `.Messages`."""
        last = "{{ if eq (len (slice $.Messages $i)) 1 }}" + self.asks + "{{ else }}" + self.answered + "{{ end }}"
        content = "{{ $m.Content }}"
        return (
            "{{- range $i, $m := .Messages }}"
            + '{{ if eq $m.Role "system" }}' + self.before_system + content + self.after_system
            + '{{ else if eq $m.Role "user" }}{{ if eq $i 0 }}' + self.alone + "{{ end }}" + content + last
            + "{{ else }}" + content + self.after_answer + "{{ end }}{{ end }}"
        )  # fmt: skip


def find_pieces(codec: ChatCodec, thinking: bool) -> Pieces | None:
    """The pieces of a template, by rendering marked conversations; None where it does not write texts as they are."""
    system, first, answer, second = _MARKS
    whole: list[Message] = [
        {"role": "system", "content": system},
        {"role": "user", "content": first},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": second},
    ]
    try:
        text = codec.render(whole, tools=None, thinking=thinking, prompt=True)
        alone = codec.render(whole[3:], tools=None, thinking=thinking, prompt=True)
    except Unrenderable:
        return None
    if any(text.count(mark) != 1 for mark in _MARKS) or alone.count(second) != 1:
        return None
    before, _, rest = text.partition(system)
    after_system, _, rest = rest.partition(first)
    answered, _, rest = rest.partition(answer)
    after_answer, _, asks = rest.partition(second)
    alone, bos = alone.partition(second)[0], codec.tokenizer.bos_token or ""
    if not (bos and alone.startswith(bos) and before.startswith(bos)):
        bos = ""
    alone, before = alone.removeprefix(bos), before.removeprefix(bos)
    return Pieces(bos, alone, before, after_system, answered, after_answer, asks)


def modelfile(
    model: Path, gguf_name: str, codec: ChatCodec, rows: Sequence[ParityRow], *, thinking: bool, system: str | None
) -> str | None:
    """The text of a Modelfile; None where Ollama could not build the trained prompts from pieces.

    Args:
        model: the merged folder, whose generation_config.json gives stop tokens and sampling.
        gguf_name: the file beside it.
        codec: the model's tokenizer and template.
        rows: conversations with the ids that were trained; those with tools are left out.
        thinking: mode of the training.
        system: system prompt of the training.
    """
    pieces = find_pieces(codec, thinking)
    plain = [row for row in rows if not row.tools and _plain(row.messages)][:CHECKED]
    if pieces is None or any(mark in _strings(pieces) for mark in ('"""', "{{")):
        return None
    if system and ('"""' in system or system.endswith('"')):
        return None
    if not plain or any(codec.encode(pieces.joined(row.messages)) != row.prompt_ids for row in plain):
        return None
    generation = read_json(model / "generation_config.json")
    lines = [f"FROM ./{gguf_name}", f'TEMPLATE """{pieces.template()}"""']
    if system:
        lines.append(f'SYSTEM """{system}"""')
    lines += [f"PARAMETER stop {json.dumps(token, ensure_ascii=False)}" for token in _stops(codec, generation)]
    lines += [f"PARAMETER {key} {generation[key]}" for key in SAMPLING if _is_number(generation.get(key))]
    return "\n".join(lines) + "\n"


def _is_number(value: object) -> bool:
    """Whether a value of somebody's generation_config.json is one that stands on a line of its own, and no more."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def write_modelfile(folder: Path, text: str | None) -> None:
    """Puts the Modelfile beside the GGUF file, or says why there is none."""
    if text is None:
        warn(
            "no Modelfile was written: Ollama's Go template could not be proved to build the trained prompts of this "
            "chat template; llama.cpp reads the template in the file itself (`llama-server --jinja`)"
        )
        return
    (folder / "Modelfile").write_text(text, encoding="utf-8")


def own_rows(codec: ChatCodec, thinking: bool) -> list[ParityRow]:
    """Conversations as the model's template renders them, for a model whose training rows are not at hand."""
    rows = []
    for number in range(CHECKED):
        turns = [{"role": "user", "content": f"问题 {number}：{number} + {number}？"}]
        if number % 2:
            turns = [*turns, {"role": "assistant", "content": f"{2 * number}。"}, {"role": "user", "content": "Why?"}]
        if number % 3 == 0:
            turns = [{"role": "system", "content": f"简短，{number} 字。"}, *turns]
        ids = codec.encode(codec.render(turns, tools=None, thinking=thinking, prompt=True))
        rows.append(ParityRow(id=str(number), messages=turns, tools=None, prompt_ids=ids))
    return rows


def _plain(messages: Sequence[Message]) -> bool:
    """Whether a conversation is a system prompt at most, then questions and answers in turn."""
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return turns == ["user", "assistant"] * (len(turns) // 2) + ["user"] and all(
        isinstance(message["content"], str) and not message.get("reasoning_content") for message in messages
    )


def _stops(codec: ChatCodec, generation: dict[str, Any]) -> list[str]:
    named = [str(codec.tokenizer.convert_ids_to_tokens(place)) for place in as_list(generation.get("eos_token_id"))]
    return list(dict.fromkeys([codec.facts.end_token, *named]))


def _strings(pieces: Pieces) -> str:
    return "\n".join(vars(pieces).values())

"""A conversation becomes prompt ids and answer ids, rendered by the model's own chat template.

Nothing here knows a model by name: what a template does (think block or none, which token ends a turn) is found by
rendering. The prompt of a trained turn is what a server would build for the messages before it; the answer is what the
template adds for the turn, up to and including the token that ends it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from configs.errors import ConfigError
from configs.handover.training import Family
from configs.model.chat_template import TemplateFailed, looked_at, rendered
from configs.model.end_tokens import end_tokens
from configs.model.template_family import QUESTION, template_family
from trainer.data.tokenizer import encoded, load_tokenizer

Message = dict[str, Any]
Tools = list[dict[str, Any]] | None

IGNORED = -100
"""Label of a token that is not trained; PyTorch's cross entropy leaves it out."""

CALL_MARK = "<tool_call>"
"""Stands before the name of a called function where an answer is written down for comparison."""

_THINK = re.compile(r"^\s*<think>(.*?)</think>\s*", re.DOTALL)
_ANSWER = "回答标记"
# Two private-use planes: a character of the second stands in when the text already uses the first.
_PRIVATE_PLANES = (0xF0000, 0x100000)


class Unrenderable(Exception):
    """A turn that the template cannot render as prompt plus answer; `reason` is the key it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class TemplateFacts:
    """What rendering showed of a chat template."""

    family: Family
    """`none`: never a think block; `switchable`: `enable_thinking` decides; `always`: the prompt opens one."""
    end_token: str
    """The token that ends an assistant turn; the last label of every trained answer."""
    end_token_id: int
    """Its id."""
    sha256: str
    """Hash of the template's text."""


@dataclass(frozen=True)
class TrainedTurn:
    """One assistant turn: what the model is given, and what it learns to write."""

    index: int
    """Position of the assistant message in the conversation."""
    prompt_ids: list[int]
    """Token ids up to where the answer starts; never trained."""
    answer_ids: list[int]
    """Token ids of the answer; the last one is the end-of-turn token."""
    thinking: bool
    """Mode in which it was rendered."""
    guarded: bool
    """Whether special-token text was kept text: a server would make tokens of it, and build other prompt ids."""
    said: str
    """The answer as the data have it: what the trained tokens must spell."""


@dataclass(frozen=True)
class TokenRow:
    """One training row; `input_ids` and `labels` are arrays of int32 of shape (tokens,)."""

    input_ids: np.ndarray
    labels: np.ndarray
    said: tuple[str, ...]
    """The answers that are trained, as the data have them."""
    thinking: bool
    """Mode in which the last of them was rendered."""

    @property
    def trained(self) -> int:
        """Number of tokens that are learned."""
        return int((self.labels != IGNORED).sum())

    @property
    def prompt_ids(self) -> list[int]:
        """Token ids before the last answer: what a server builds for the messages before it."""
        return self.input_ids[: answer_start(self.labels)].tolist()


@dataclass
class ChatCodec:
    """A tokenizer and its template; renders and encodes, and holds nothing but what it derived from them."""

    tokenizer: Any
    """A fast transformers tokenizer with a chat template."""
    facts: TemplateFacts = field(init=False)

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise ConfigError(
                f"{self.tokenizer.name_or_path}: the tokenizer has no tokenizer.json",
                "convert it with transformers (AutoTokenizer.from_pretrained(...).save_pretrained(...))",
            )
        if isinstance(self.tokenizer.chat_template, dict):
            names = ", ".join(self.tokenizer.chat_template)
            raise ConfigError(
                f"{self.tokenizer.name_or_path}: has several chat templates ({names}), and which of them a prompt gets "
                "depends on its tools",
                "keep one: take the others out of tokenizer_config.json and additional_chat_templates",
            )
        if not isinstance(self.tokenizer.chat_template, str):
            raise ConfigError(
                f"{self.tokenizer.name_or_path}: the tokenizer has no chat template",
                "use the instruct model, or put a chat_template.jinja beside the base model's tokenizer",
            )
        # No server cuts or fills up what it encodes, whatever tokenizer.json was saved with.
        self.tokenizer.backend_tokenizer.no_truncation()
        self.tokenizer.backend_tokenizer.no_padding()
        self.facts = inspect_template(self.tokenizer)

    @classmethod
    def load(cls, folder: str | Path) -> ChatCodec:
        """The codec of a model folder; imports transformers, reads nothing but the folder, and runs none of its code.

        Raises:
            ConfigError: the tokenizer cannot be read, has no usable template, lacks the tokens at which the model's
                answers end, or comes as code.
        """
        there = filter(Path.exists, sorted(Path(folder).glob("*")))
        files = tuple((file.name, (found := file.stat()).st_ino, found.st_size, found.st_mtime_ns) for file in there)
        return _loaded(str(folder), files)

    def with_template(self, template: str) -> ChatCodec:
        """The same tokenizer under another chat template.

        Raises:
            ConfigError: the template cannot be used.
        """
        tokenizer = copy(self.tokenizer)
        tokenizer.chat_template = template
        return ChatCodec(tokenizer)

    @cached_property
    def added_tokens(self) -> dict[str, int]:
        """Text of every added token and its id: the text that would become one token, wherever it stands."""
        return {str(token): i for i, token in self.tokenizer.added_tokens_decoder.items()}

    @cached_property
    def added_pattern(self) -> re.Pattern[str]:
        """Finds added tokens; the longest first, as the tokenizer does."""
        return _alternation(self.added_tokens)

    @cached_property
    def control_pattern(self) -> re.Pattern[str]:
        """Finds the added tokens that no answer means (`<|im_end|>`), unlike `<think>` or `<tool_call>`."""
        return _alternation({str(t): i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special})

    @cached_property
    def plain(self) -> Tokenizer:
        """The same tokenizer without its added tokens: every text stays text."""
        spec = json.loads(self.tokenizer.backend_tokenizer.to_str())
        spec["added_tokens"], spec["post_processor"] = [], None
        return Tokenizer.from_str(json.dumps(spec))

    @cached_property
    def encodes_in_parts(self) -> bool:
        """Whether encoding the stretches between added tokens one by one gives what encoding the whole text gives."""
        messages = [{"role": "user", "content": f" {QUESTION} 1\n"}, {"role": "assistant", "content": _ANSWER}]
        text = self.render(messages, tools=None, thinking=False, prompt=False)
        return self.encode_guarded(text, {}) == self.encode(text)

    @cached_property
    def longest_token(self) -> int:
        """The most characters that one token stands for; a token of bytes has one character a byte here."""
        return max(map(len, self.tokenizer.get_vocab()))

    def render(self, messages: Sequence[Message], *, tools: Tools, thinking: bool, prompt: bool) -> str:
        """The template's text; `prompt` adds the opening of the assistant's turn.

        Raises:
            Unrenderable: the template refuses these messages (`template_refused`).
            ConfigError: it takes more time or memory than a template may.
        """
        try:
            return _rendered(self.tokenizer, list(messages), tools=tools, prompt=prompt, thinking=thinking)
        except TemplateFailed as error:
            raise Unrenderable("template_refused") from error

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text, added tokens recognised: what a server builds from the same text."""
        return encoded(self.tokenizer.backend_tokenizer, text, self.tokenizer.name_or_path)

    def encode_guarded(self, text: str, stand_ins: dict[str, str]) -> list[int]:
        """Token ids of rendered text in which stand-in characters hold the place of special-token text.

        The template's own added tokens become their ids; everything between them is encoded by a tokenizer that knows
        no added token, after the stand-ins are back to what the user typed.
        """
        ids: list[int] = []
        position = 0
        for match in self.added_pattern.finditer(text):
            ids += self._encode_plain(text[position : match.start()], stand_ins)
            ids.append(self.added_tokens[match.group()])
            position = match.end()
        return ids + self._encode_plain(text[position:], stand_ins)

    def _encode_plain(self, text: str, stand_ins: dict[str, str]) -> list[int]:
        for character, literal in stand_ins.items():
            text = text.replace(character, literal)
        return encoded(self.plain, text, self.tokenizer.name_or_path) if text else []


@lru_cache(maxsize=4)
def _loaded(folder: str, files: tuple[tuple[str, int, int, int], ...]) -> ChatCodec:
    """The codec of a folder as long as its files are these: a large vocabulary takes seconds to read."""
    codec = ChatCodec(load_tokenizer(folder))
    end_tokens(Path(folder), codec.tokenizer.backend_tokenizer)
    return codec


def inspect_template(tokenizer: Any) -> TemplateFacts:
    """Finds family and end-of-turn token by rendering one question and one answer.

    Raises:
        ConfigError: the template renders no question and answer, or ends a turn with no token of its own.
    """

    def render(turns: int, thinking: bool, prompt: bool) -> str:
        messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": _ANSWER}][:turns]
        return _rendered(tokenizer, messages, tools=None, prompt=prompt, thinking=thinking)

    name = tokenizer.name_or_path
    try:
        family, full = looked_at(
            lambda: (template_family(lambda thinking: render(1, thinking, True)), render(2, False, False)), name
        )
    except TemplateFailed as error:
        raise ConfigError(
            f"{name}: the chat template cannot render a question and an answer: {error}",
            "copy the template of the model's publisher again",
        ) from error

    added = {str(token): i for i, token in tokenizer.added_tokens_decoder.items()}
    end = _alternation(added).search(full.rpartition(_ANSWER)[2]) if _ANSWER in full else None
    if end is None:
        raise ConfigError(
            f"{name}: the chat template writes no end-of-turn token after an answer: {full[:300]!r}",
            "a model tuned with it would never stop; use a template that ends the assistant's turn",
        )
    sha256 = hashlib.sha256(tokenizer.chat_template.encode()).hexdigest()
    return TemplateFacts(family, end.group(), added[end.group()], sha256)


def _rendered(tokenizer: Any, messages: Sequence[Message], *, tools: Tools, prompt: bool, thinking: bool) -> str:
    return rendered(
        lambda: tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=prompt, enable_thinking=thinking
        ),
        tokenizer.name_or_path,
    )


def check_thinking(facts: TemplateFacts, thinking: bool) -> None:
    """Raises a ConfigError when the wanted thinking mode does not exist in this template family."""
    if thinking and facts.family == "none":
        raise ConfigError(
            "thinking: true, but this model's chat template has no thinking mode",
            "set `thinking: false` (`<think>` blocks in the answers are then left out), or take a model that thinks",
        )
    if not thinking and facts.family == "always":
        raise ConfigError(
            "thinking: false, but this model's chat template always opens a think block",
            "set `thinking: true` and give data with reasoning, or take a model whose thinking can be switched off",
        )


def reasoning_of(message: Message) -> str:
    """The reasoning of an assistant message, from its own field or from a leading `<think>` block; else empty."""
    text = message.get("reasoning_content")
    if not text and isinstance(message.get("content"), str):
        found = _THINK.match(message["content"])
        text = found.group(1) if found else ""
    return (text or "").strip()


def without_reasoning(message: Message) -> Message:
    """The message with neither reasoning field nor leading think block."""
    kept = {key: value for key, value in message.items() if key != "reasoning_content"}
    if isinstance(kept.get("content"), str):
        kept["content"] = _THINK.sub("", kept["content"], count=1)
    return kept


def answer_text(message: Message) -> str:
    """What a client sees of an assistant message: its text without reasoning."""
    return str(without_reasoning(message)["content"]).strip()


def said(message: Message, thinking: bool) -> str:
    """What the trained tokens must spell: reasoning where it is trained, the text, and the functions that are called.

    Written from the message alone, never from its rendering, so that comparing the two means something.
    """
    reasoning = f"<think>{reasoning_of(message)}</think>" if thinking else ""
    calls = "".join(CALL_MARK + call["function"]["name"] for call in message.get("tool_calls", ()))
    return reasoning + answer_text(message) + calls


def render_turn(
    codec: ChatCodec, messages: Sequence[Message], index: int, *, thinking: bool, tools: Tools = None
) -> TrainedTurn:
    """Prompt ids and answer ids of the assistant message at `index`.

    With `thinking`, a turn with reasoning is rendered in thinking mode and one without in the other mode, so that an
    empty think block is always prompt; without it, reasoning is left out of what is trained.

    Raises:
        Unrenderable: `template_refused`, `not_a_continuation` (what the template writes through the turn does not
            start with the prompt), `no_reasoning` (an always-thinking template and an answer without reasoning),
            `tool_call_lost`, `tools_lost`, `system_lost`, `answer_changed`, `no_end_token`, and what `guard` raises.
    """
    shown = list(messages[: index + 1])
    if not thinking:
        shown = [without_reasoning(m) if m["role"] == "assistant" else m for m in shown]
    mode = thinking and bool(reasoning_of(shown[-1]))
    if codec.facts.family == "always" and not mode:
        raise Unrenderable("no_reasoning")

    shown, guarded_tools, stand_ins = guard(codec, shown, tools)
    prompt = codec.render(shown[:-1], tools=guarded_tools, thinking=mode, prompt=True)
    full = codec.render(shown, tools=guarded_tools, thinking=mode, prompt=False)
    if not full.startswith(prompt):
        raise Unrenderable("not_a_continuation")
    check_tools(shown, guarded_tools, prompt, full[len(prompt) :])
    if any(m["role"] == "system" and m["content"].strip() not in prompt for m in shown):
        raise Unrenderable("system_lost")
    check_spelled(shown[-1], mode, full[len(prompt) :].partition(codec.facts.end_token)[0])
    prompt_ids, answer_ids = encode_answer(codec, prompt, full, stand_ins)
    answer_ids = cut_after_end(answer_ids, codec.facts.end_token_id)
    return TrainedTurn(index, prompt_ids, answer_ids, mode, bool(stand_ins), said(messages[index], mode))


def check_spelled(message: Message, thinking: bool, written: str) -> None:
    """Compares what a template writes for an answer with the message, but for spacing.

    Some leave the reasoning out, or write it and the answer under headings of their own, which no client is shown.

    Args:
        message: the assistant message.
        thinking: whether its reasoning is rendered.
        written: the answer as the template writes it, up to the end of the turn.

    Raises:
        Unrenderable: `answer_changed`.
    """
    if message.get("tool_calls"):
        return  # how a family writes calls is its own matter
    text, wanted = ("".join(part.split()) for part in (written, said(message, thinking)))
    # A template that always thinks, or one that opens the block itself, has it in the prompt.
    if text not in (wanted, wanted.removeprefix("<think>")):
        raise Unrenderable("answer_changed")


def check_tools(messages: Sequence[Message], tools: Tools, prompt: str, answer: str) -> None:
    """Looks for the name of every tool and every called function in what was rendered.

    Many templates know no tools and leave them out without a word: an empty answer would be trained.

    Raises:
        Unrenderable: `tool_call_lost` or `tools_lost`.
    """
    *before, last = [[call["function"]["name"] for call in m.get("tool_calls", ())] for m in messages]
    if any(name not in answer for name in last) or any(name not in prompt for names in before for name in names):
        raise Unrenderable("tool_call_lost")
    if any(tool["function"]["name"] not in prompt for tool in tools or ()):
        raise Unrenderable("tools_lost")


def encode_answer(codec: ChatCodec, prompt: str, full: str, stand_ins: dict[str, str]) -> tuple[list[int], list[int]]:
    """Ids of the prompt as a server builds them, and ids of the rest of `full`."""

    def encode(text: str) -> list[int]:
        return codec.encode_guarded(text, stand_ins) if stand_ins else codec.encode(text)

    prompt_ids, full_ids = encode(prompt), encode(full)
    if full_ids[: len(prompt_ids)] == prompt_ids:
        return prompt_ids, full_ids[len(prompt_ids) :]
    # A token of `full` reaches over the end of the prompt; a server has already fixed the prompt's tokens by then, so
    # what the model must write is the answer encoded on its own.
    return prompt_ids, encode(full[len(prompt) :])


def cut_after_end(answer_ids: list[int], end_token_id: int) -> list[int]:
    """The ids up to and including the first end-of-turn token; what a template writes after it is never generated.

    Raises:
        Unrenderable: `no_end_token`.
    """
    if end_token_id not in answer_ids:
        raise Unrenderable("no_end_token")
    return answer_ids[: answer_ids.index(end_token_id) + 1]


def guard(codec: ChatCodec, messages: Sequence[Message], tools: Tools) -> tuple[list[Message], Tools, dict[str, str]]:
    """Replaces special-token text in the data by stand-in characters that the template cannot mistake.

    In user, system and tool messages every added token counts; an assistant may mean `<think>` or `<tool_call>`, so
    there only the control tokens do. Data without such text comes back as it is, and no stand-ins with it.

    Raises:
        Unrenderable: `private_use_characters` (no private-use plane is free to hold the stand-ins), or
            `special_token_text` (this tokenizer does not encode parts of a text as it does the whole).
    """
    parts = [(m, codec.control_pattern if m["role"] == "assistant" else codec.added_pattern) for m in messages]
    found = {name for part, pattern in parts for text in strings(part) for name in pattern.findall(text)}
    found |= {name for text in strings(tools) for name in codec.added_pattern.findall(text)}
    if not found:
        return list(messages), tools, {}
    if not codec.encodes_in_parts:
        raise Unrenderable("special_token_text")
    used = set("".join(strings([list(messages), tools])))
    for plane in _PRIVATE_PLANES:
        stand_in = {name: chr(plane + i) for i, name in enumerate(sorted(found))}
        if used.isdisjoint(stand_in.values()):
            break
    else:
        raise Unrenderable("private_use_characters")

    def hide(value: Any, pattern: re.Pattern[str]) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda m: stand_in[m[0]], value)
        if isinstance(value, list):
            return [hide(v, pattern) for v in value]
        if isinstance(value, dict):
            return {hide(k, pattern): hide(v, pattern) for k, v in value.items()}
        return value

    hidden = [hide(part, pattern) for part, pattern in parts]
    return hidden, hide(tools, codec.added_pattern), {character: name for name, character in stand_in.items()}


def join_turns(turns: Sequence[TrainedTurn]) -> list[TokenRow]:
    """Rows of one conversation: one row for all turns where each prompt continues the row so far, else one a turn."""
    rows: list[TokenRow] = []
    for turn in turns:
        input_ids = np.array(turn.prompt_ids + turn.answer_ids, dtype=np.int32)
        labels = np.full(len(input_ids), IGNORED, dtype=np.int32)
        labels[len(turn.prompt_ids) :] = turn.answer_ids
        said: tuple[str, ...] = (turn.said,)
        if rows and turn.prompt_ids[: len(rows[-1].input_ids)] == rows[-1].input_ids.tolist():
            before = rows.pop()
            labels[: len(before.labels)] = before.labels
            said = (*before.said, turn.said)
        rows.append(TokenRow(input_ids, labels, said, turn.thinking))
    return rows


def answer_start(labels: Sequence[int] | np.ndarray) -> int:
    """Index of the first label of the last trained stretch; the answer runs from there to the end of the row."""
    start = len(labels)
    while start and labels[start - 1] != IGNORED:
        start -= 1
    return start


def strings(value: Any) -> list[str]:
    """Every text in a value; names of arguments and of a schema's properties are rendered as well."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for v in pair for text in strings(v)]
    if isinstance(value, list | tuple):
        return [text for v in value for text in strings(v)]
    return []


def _alternation(tokens: dict[str, int]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(t) for t in sorted(tokens, key=len, reverse=True)) or r"(?!)")

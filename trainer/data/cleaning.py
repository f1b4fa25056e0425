"""What is kept, repaired or dropped before a conversation is rendered: one stated rule each, counted by its name."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, replace
from itertools import pairwise

from configs.tables import BAD_ROWS
from trainer.data.layouts import Conversation
from trainer.data.template import Message, reasoning_of, without_reasoning

RULES = {
    **{name: f"dropped: {why}" for name, why in BAD_ROWS.items()},
    "missing_columns": "dropped: the row lacks the columns of its source's layout",
    "not_text": "dropped: a message holds something other than text",
    "unknown_role": "dropped: a role that is none of system, user, assistant, tool",
    "bad_tool_call": "dropped: tool calls that are no list, lack a name, or have arguments that are no JSON mapping",
    "bad_tools": "dropped: tool schemas that are no list of mappings with a name",
    "bad_history": "dropped: a history that is no list of question and answer pairs",
    "lone_surrogate": "dropped: half of a character (`\\ud83d` without its second half), which no text can hold",
    "no_answer": "dropped: no assistant message, or nothing in front of it",
    "empty_answer": "dropped: an answer without text (reasoning alone is no answer)",
    "empty_question": "dropped: a question without text",
    "role_order": "dropped: roles in an order that no chat has (two answers in a row, a system prompt in the middle)",
    "answer_repeats_prompt": "dropped: the answer is the question, or begins with all of it (20 characters up)",
    "duplicate": "dropped: the same conversation as an earlier row, spacing and width of characters aside",
    "leak": "dropped from training: the held-out set asks the same question",
    "template_refused": "dropped: the chat template refuses these messages",
    "not_a_continuation": "dropped: the chat template does not write the answer behind its own prompt",
    "no_reasoning": "dropped: the template always thinks and the answer has no reasoning",
    "tool_call_lost": "dropped: the chat template leaves tool calls out",
    "tools_lost": "dropped: the chat template leaves the row's tools out of the prompt",
    "no_end_token": "dropped: the chat template did not end the turn",
    "special_token_text": "dropped: special-token text that this tokenizer cannot keep apart from real tokens",
    "private_use_characters": "dropped: special-token text beside private-use characters",
    "overlong": "dropped: longer than data.max_length",
    "no_trained_token": "dropped: nothing in the row would be learned",
    "leading_assistant": "repaired: an answer before the first question was taken off",
    "trailing_user": "repaired: messages after the last answer were taken off",
    "merged_user": "repaired: questions in a row were joined by a line break",
    "empty_system": "repaired: an empty system prompt was taken off",
    "reasoning_removed": "repaired: `thinking: false`, so the think block was left out of the answer",
    "history_truncated": "repaired: the oldest exchanges were taken off to fit data.max_length",
    "special_text_kept": "kept: special-token text in the data stays text (a server would make tokens of it)",
}
"""Every reason of the data report and what is done about it."""

NOT_A_FAULT = {"duplicate", "leak"}
"""Reasons that say nothing about the quality of the file, and do not count against data.max_dropped."""

_REPEATED = 20
_TELLING = 8
_SPACE = re.compile(r"\s+")


class Dropped(Exception):
    """A conversation that is not used; `reason` is a key of RULES."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Cleaned:
    """A conversation that can be rendered, and what was mended in it."""

    conversation: Conversation
    repairs: tuple[str, ...]


def clean(conversation: Conversation, *, system: str | None, thinking: bool) -> Cleaned:
    """Brings a conversation into the order system?, (user|tool+, assistant)+ and checks its texts.

    Raises:
        Dropped: with a reason out of RULES.
    """
    repairs: list[str] = []
    messages = [dict(m) for m in conversation.messages]
    messages = _system_first(messages, system, repairs)
    head = messages[:1] if messages and messages[0]["role"] == "system" else []
    turns = _merge_users(_trim(messages[len(head) :], repairs), repairs)
    _check_order(turns)
    if not thinking and any(m["role"] == "assistant" and reasoning_of(m) for m in turns):
        repairs.append("reasoning_removed")
        turns = [without_reasoning(m) if m["role"] == "assistant" else m for m in turns]
    _check_texts(turns)
    return Cleaned(replace(conversation, messages=head + turns), tuple(repairs))


def identity(conversation: Conversation) -> bytes:
    """Equal for two conversations that say the same, spacing, case and character width aside."""
    return _digest([f"{m['role']}\0{_said(m)}" for m in conversation.messages])


def question_identity(conversation: Conversation) -> bytes:
    """Equal for two conversations that ask the same; what the split and the leak check go by.

    It is the first question that says something. A greeting does not: where all are that short, all of them count.
    """
    questions = [plain(str(m["content"])) for m in conversation.messages if m["role"] == "user"]
    telling = next((question for question in questions if len(question) >= _TELLING), None)
    return _digest([telling] if telling else questions)


def plain(text: str) -> str:
    """Text without spacing, case and character width."""
    return _SPACE.sub("", unicodedata.normalize("NFKC", text).casefold())


def _system_first(messages: list[Message], system: str | None, repairs: list[str]) -> list[Message]:
    if messages and messages[0]["role"] == "system" and not messages[0]["content"].strip():
        repairs.append("empty_system")
        messages = messages[1:]
    if system and not (messages and messages[0]["role"] == "system"):
        messages = [{"role": "system", "content": system}, *messages]
    return messages


def _trim(turns: list[Message], repairs: list[str]) -> list[Message]:
    if turns and turns[0]["role"] == "assistant":
        repairs.append("leading_assistant")
        turns = turns[1:]
    last = max((i for i, m in enumerate(turns) if m["role"] == "assistant"), default=-1)
    if last < 1:
        raise Dropped("no_answer")
    if last < len(turns) - 1:
        repairs.append("trailing_user")
    return turns[: last + 1]


def _merge_users(turns: list[Message], repairs: list[str]) -> list[Message]:
    merged: list[Message] = []
    for message in turns:
        if merged and message["role"] == merged[-1]["role"] == "user":
            merged[-1] = {**merged[-1], "content": f"{merged[-1]['content']}\n{message['content']}"}
            repairs.append("merged_user")
        else:
            merged.append(message)
    return merged


def _check_order(turns: list[Message]) -> None:
    """A user's or tool's message comes before every answer; a tool speaks only after a tool call or another tool."""
    if turns[0]["role"] != "user":
        raise Dropped("role_order")
    for before, message in pairwise(turns):
        called = bool(before.get("tool_calls"))
        allowed = {
            "user": before["role"] == "assistant" and not called,
            "assistant": before["role"] in ("user", "tool"),
            "tool": called or before["role"] == "tool",
            "system": False,
        }
        if not allowed[message["role"]]:
            raise Dropped("role_order")


def _check_texts(turns: list[Message]) -> None:
    question = ""
    for message in turns:
        if message["role"] == "user":
            question = plain(message["content"])
            if not message["content"].strip():
                raise Dropped("empty_question")
        elif message["role"] == "assistant" and not message.get("tool_calls"):
            answer = without_reasoning(message)["content"]
            if not answer.strip():
                raise Dropped("empty_answer")
            said = plain(answer)
            if said == question or (len(question) >= _REPEATED and said.startswith(question)):
                raise Dropped("answer_repeats_prompt")


def _said(message: Message) -> str:
    return plain(str(message["content"])) + repr(message.get("tool_calls", ""))


def _digest(parts: list[str]) -> bytes:
    return hashlib.blake2b("\1".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()

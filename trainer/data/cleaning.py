"""What is kept, repaired or dropped before a conversation is rendered: one stated rule each (`trainer.data.rules`)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from trainer.data.layouts import Conversation
from trainer.data.template import Message, reasoning_of, without_reasoning
from trainer.data.thinking import BadThinking, settle_reasoning
from trainer.data.turns import UNTRAINED

_REPEATED = 20
# Whether an answer holds a tag of any family that reasons in its text.
_MAY_THINK = re.compile(r"think(?:ing)?>|^\s*(?:<thoughts?>|\[think\]|◁think▷|<\|begin_of_thought\|>)", re.IGNORECASE)


class Dropped(Exception):
    """A conversation that is not used; `reason` is a key of RULES."""

    def __init__(self, reason: str, found: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.found = found
        """Which role or message it was."""


@dataclass(frozen=True)
class Cleaned:
    """A conversation that can be rendered, and what was mended in it."""

    conversation: Conversation
    repairs: tuple[str, ...]


def clean(conversation: Conversation, *, system: str | None, thinking: bool, keep_repeats: bool = False) -> Cleaned:
    """Brings a conversation into the order system?, (user|tool+, assistant)+ and checks its texts.

    Reasoning stands in a leading `<think>` block afterwards, or, without `thinking`, nowhere. `keep_repeats` keeps
    answers that repeat their question.

    Raises:
        Dropped: with a reason out of RULES.
    """
    repairs: list[str] = []
    messages = [dict(m) for m in conversation.messages]
    messages = _system_first(messages, system, repairs)
    head = messages[:1] if messages and messages[0]["role"] == "system" else []
    turns = _merge_users(_trim(messages[len(head) :], repairs), repairs)
    _check_order(turns)
    turns = [_settled(m, thinking, repairs) if m["role"] == "assistant" else m for m in turns]
    _check_texts(turns, keep_repeats)
    messages = head + turns
    untrained = frozenset(i for i, m in enumerate(messages) if m.pop(UNTRAINED, False))
    repairs += ["untrained_answer"] * len(untrained)
    return Cleaned(replace(conversation, messages=messages, untrained=untrained), tuple(repairs))


def _system_first(messages: list[Message], system: str | None, repairs: list[str]) -> list[Message]:
    """One system prompt at the front: those that stand there joined, or the recipe's own where there is none."""
    count = next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
    texts = [m["content"] for m in messages[:count]]
    filled = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(filled) < len(texts):
        repairs.append("empty_system" if not all(text.strip() for text in texts) else "joined_system")
    elif len(filled) > 1:
        repairs.append("joined_system")
    if filled:
        return [{"role": "system", "content": "\n".join(filled)}, *messages[count:]]
    return [{"role": "system", "content": system}, *messages[count:]] if system else messages[count:]


def _trim(turns: list[Message], repairs: list[str]) -> list[Message]:
    if turns and turns[0]["role"] == "assistant":
        repairs.append("leading_assistant")
        turns = turns[1:]
    answers = [i for i, m in enumerate(turns) if m["role"] == "assistant" and i]
    if not answers:
        raise Dropped("no_answer", _order(turns))
    trained = [i for i in answers if not turns[i].get(UNTRAINED)]
    if not trained:
        raise Dropped("all_excluded")
    if trained[-1] < len(turns) - 1:
        repairs.append("trailing_user")
    return turns[: trained[-1] + 1]


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
    """A user's, system's or tool's message comes before every answer; a tool speaks only after a call or a tool.

    A system prompt in the middle stays where it is: whether the chat template renders it is seen when it is asked to.
    """
    if turns[0]["role"] != "user":
        raise Dropped("role_order", f"{turns[0]['role']} comes first")
    for before, message in pairwise(turns):
        called = bool(before.get("tool_calls"))
        allowed = {
            "user": before["role"] in ("assistant", "system") and not called,
            "assistant": before["role"] in ("user", "tool", "system"),
            "tool": called or before["role"] == "tool",
            "system": not called,
        }
        if not allowed[message["role"]]:
            raise Dropped("role_order", f"{message['role']} right after {_role(before)}")


def _role(message: Message) -> str:
    return "an assistant's call" if message.get("tool_calls") else str(message["role"])


def _order(turns: list[Message]) -> str:
    return "roles " + (", ".join(str(m["role"]) for m in turns[:4]) or "none")


def _settled(message: Message, thinking: bool, repairs: list[str]) -> Message:
    """The answer with its reasoning in one leading block, or without it where thinking is not trained."""
    if "reasoning_content" not in message and not _MAY_THINK.search(message["content"]):
        return message
    try:
        message, rule = settle_reasoning(message)
    except BadThinking as bad:
        raise Dropped(bad.reason, message["content"].strip()[:24]) from None
    if rule:
        repairs.append(rule)
    if not thinking and reasoning_of(message):
        if "reasoning_removed" not in repairs:
            repairs.append("reasoning_removed")
        return without_reasoning(message)
    return message


def _check_texts(turns: list[Message], keep_repeats: bool) -> None:
    question = ""
    for message in turns:
        if message["role"] == "user":
            question = message["content"].strip()
            if not question:
                raise Dropped("empty_question")
        elif message["role"] == "assistant" and not message.get("tool_calls"):
            answer = without_reasoning(message)["content"].strip()
            if not answer:
                raise Dropped("empty_answer")
            if not keep_repeats and (
                answer == question or (len(question) >= _REPEATED and answer.startswith(question))
            ):
                raise Dropped("answer_repeats_prompt")

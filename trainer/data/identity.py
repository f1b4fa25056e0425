"""When two conversations are one, and when two ask the same: by all that they say, not by their question alone.

A document in a system prompt with one question for all, or one question after different histories, makes as many rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from configs.tables.spelling import nfkc
from trainer.data.layouts import Conversation

_TELLING = 8
_SPACE = re.compile(r"[\s\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]+")
"""Spaces, and characters that show nothing: zero-width ones, marks of direction, the byte-order mark."""


@dataclass(frozen=True)
class Identity:
    """What a conversation is compared by; digests of 16 bytes."""

    whole: bytes
    """Equal for two that say the same with the same tools, spacing, case and character width aside."""
    asked: bytes
    """Equal for two whose last answer is given to the same: system prompt, tools, history and question."""
    earlier: tuple[bytes, ...]
    """The same for the answers before the last that are trained, where a user has said something by then.

    A greeting says nothing that two conversations could share by more than chance.
    """


def identify(conversation: Conversation) -> Identity:
    """The identity of a cleaned conversation."""
    digest = hashlib.blake2b(digest_size=16)
    if conversation.tools:
        digest.update(json.dumps(conversation.tools, ensure_ascii=False, sort_keys=True, default=str).encode())
    asked: list[bytes] = []
    said, text = 0, ""
    messages = conversation.messages
    for index, message in enumerate(messages):
        if message["role"] == "assistant" and index not in conversation.untrained:
            last = index == len(messages) - 1
            if last or said >= _TELLING:
                # A first question without anything before it is asked by its text.
                lone = index == 1 and messages[0]["role"] == "user" and not conversation.tools
                asked.append(_digest(text) if lone else digest.copy().digest())
        text = plain(str(message["content"]))
        said += len(text) if message["role"] == "user" else 0
        calls = repr(message["tool_calls"]) if message.get("tool_calls") else ""
        digest.update(f"{message['role']}\0{text}\0{calls}\1".encode("utf-8", "surrogatepass"))
    return Identity(digest.digest(), asked[-1], tuple(asked[:-1]))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def question_identity(conversation: Conversation) -> bytes:
    """Equal for two conversations whose last answer is given to the same."""
    return identify(conversation).asked


def plain(text: str) -> str:
    """Text without spacing, what shows nothing, case and character width."""
    return _SPACE.sub("", nfkc(text).casefold())

"""What a reply must be: a choice that the model ended, and text in the places of text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Check = Callable[[dict[str, Any]], None]
"""Raises `AttemptError` where a reply lacks what was asked for."""

_STOPPED = ("stop", "eos", "eos_token", "stop_sequence", "end", "end_turn", "complete", "completed", "normal")
_CUT = ("length", "max_tokens", "model_length", "token_limit", "model_context_window_exceeded")
_WHOLE = {
    **dict.fromkeys(_STOPPED, "stop"),
    **dict.fromkeys(_CUT, "length"),
    **{name: name for name in ("repetition", "tool_calls", "tool_use", "function_call", "")},
}
"""What servers call an end that the model came to, or its limit, with vLLM's name for it. Whatever else ends an answer
(a filter, a network, a lack of resources) is not the model."""
_LONGEST_ANSWER = 500_000
"""Characters: more than any model writes into the tokens that an evaluation leaves it, and scored in seconds."""


class AttemptError(Exception):
    """One attempt failed. `kind` is its error class, `retry_after_s` what the server asked to wait."""

    def __init__(self, kind: str, message: str, retry: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry = retry
        self.retry_after_s = retry_after_s


def check_chat(reply: dict[str, Any]) -> None:
    """Raises `AttemptError` where a chat reply is not what the interface promises.

    Content and reasoning must be text or null; half a character in them is no fault, a server may cut an answer there.
    Null content is fine where the thinking was cut (the reasoning holds it, and `finish_reason` is `length`).
    """
    choice = first_choice(reply)
    message = choice.get("message")
    if not isinstance(message, dict) or "content" not in message:
        raise AttemptError("bad_shape", f"no choices[0].message.content in {_shown(reply)}")
    for where, text in (
        ("message.content", message["content"]),
        ("message.reasoning", message.get("reasoning")),
        ("message.reasoning_content", message.get("reasoning_content")),
        ("finish_reason", choice.get("finish_reason")),
    ):
        if text is not None and not isinstance(text, str):
            raise AttemptError("bad_shape", f"{where} is no text but {type(text).__name__}: {_shown(reply)}")
    if len(message["content"] or "") > _LONGEST_ANSWER:
        raise AttemptError("too_large", f"an answer of more than {_LONGEST_ANSWER:,} characters")
    if message["content"] is None:
        reasoning = message.get("reasoning") or message.get("reasoning_content")
        if not (reasoning and choice.get("finish_reason") == "length"):
            raise AttemptError("null_content", f"content is null, finish_reason {choice.get('finish_reason')!r}")


def check_completion(reply: dict[str, Any]) -> None:
    """Raises `AttemptError` where a completion reply has no choice, or one that broke off."""
    first_choice(reply)


def first_choice(reply: dict[str, Any]) -> dict[str, Any]:
    """The choice of a reply; its end goes under vLLM's name from here on, so that what was cut counts as cut.

    Raises:
        AttemptError: there is none, or it broke off.
    """
    choices = reply.get("choices")
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        raise AttemptError("bad_shape", f"no choices in {_shown(reply)}")
    reason = choices[0].get("finish_reason")
    ended = not isinstance(reason, str) or reason.lower() in _WHOLE
    # What a server that shuts down, or a gateway whose model fails, hands out of an answer that it had begun.
    if not ended or choices[0].get("error") or reply.get("error"):
        raise AttemptError("broken_off", f"the answer broke off (finish_reason {reason!r}): {_shown(reply)}")
    if isinstance(reason, str):
        choices[0]["finish_reason"] = _WHOLE[reason.lower()]
    return choices[0]


def _shown(reply: dict[str, Any]) -> str:
    try:
        return short(json.dumps(reply))
    except (ValueError, RecursionError):
        return "a reply that is nested too deeply to be shown"


def short(raw: bytes | str) -> str:
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    return text if len(text) <= 300 else text[:300] + "…"

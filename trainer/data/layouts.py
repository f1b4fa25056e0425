"""Rows of any common layout become conversations in the OpenAI `messages` form.

The layout is found by looking at the columns of the first rows; `columns` renames a user's own columns to those of a
layout first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from configs.errors import DataError
from configs.schema import SourceConfig
from configs.tables import RawRow
from trainer.data.template import Message, Tools

Layout = Literal["alpaca", "sharegpt", "messages", "prompt_completion"]

SHAREGPT_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "bing": "assistant", "bard": "assistant", "model": "assistant", "system": "system", "observation": "tool",
    "tool": "tool", "function_response": "tool", "function_call": "function_call",
}  # fmt: skip
ROLES = {"system", "user", "assistant", "tool"}
_PROMPT = ("prompt", "question", "query", "input")
_COMPLETION = ("completion", "response", "answer", "output", "chosen")


class BadLayout(Exception):
    """A row that does not have its source's layout; `reason` is the key it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Conversation:
    """One conversation of the user's data."""

    place: str
    """Where it was read: file and row number."""
    messages: list[Message]
    """In the OpenAI form; tool-call arguments are mappings, as a server hands them to the template."""
    tools: Tools = None
    """Tool schemas passed to the template."""


def detect_layout(rows: Sequence[RawRow], source: SourceConfig, looked_at: int = 50) -> Layout:
    """The layout that the first rows have, after renaming by `columns`; the recipe's own word where it gives one.

    Raises:
        DataError: none fits; the message shows the columns and how to map them.
    """
    if source.format != "auto":
        return source.format
    votes: dict[Layout, int] = {}
    for row in rows[:looked_at]:
        layout = _layout_of(rename(row.value, source.columns))
        if layout:
            votes[layout] = votes.get(layout, 0) + 1
    if votes:
        return max(votes, key=lambda name: votes[name])
    columns = sorted(rows[0].value) if rows else []
    raise DataError(
        f"{source.path}: the layout of the rows is not known; the columns are {', '.join(columns) or '(none)'}",
        "map them in the recipe, e.g. columns: {instruction: my_question, output: my_answer}; known layouts are "
        "messages, conversations (from/value), instruction/input/output, prompt/completion",
    )


def to_conversation(row: RawRow, layout: Layout, columns: dict[str, str]) -> Conversation:
    """The conversation in a row.

    Raises:
        BadLayout: `missing_columns`, `unknown_role`, `not_text`, `bad_tool_call`, `bad_tools`, `bad_history`,
            `lone_surrogate`.
    """
    value = rename(row.value, columns)
    tools = _tools(value.get("tools"))
    messages = _CONVERTERS[layout](value)
    # JSON's \ud83d without its other half is a Python string, but no tokenizer and no file takes it.
    try:
        json.dumps([messages, tools], ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise BadLayout("lone_surrogate") from None
    return Conversation(row.place, messages, tools)


def rename(value: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The row with the user's columns under the layout's names; `columns` maps layout name to user's column."""
    if not columns:
        return value
    taken = set(columns.values())
    renamed = {k: v for k, v in value.items() if k not in taken and k not in columns}
    return renamed | {name: value[column] for name, column in columns.items() if column in value}


def _layout_of(value: dict[str, Any]) -> Layout | None:
    if isinstance(_unpacked(value.get("messages")), list):
        return "messages"
    turns = _unpacked(value.get("conversations") or value.get("conversation"))
    if isinstance(turns, list) and turns and isinstance(turns[0], dict):
        return "sharegpt" if "from" in turns[0] else "messages"
    if "instruction" in value and any(name in value for name in ("output", "response", "answer")):
        return "alpaca"
    if any(name in value for name in _PROMPT) and any(name in value for name in _COMPLETION):
        return "prompt_completion"
    return None


def _from_alpaca(value: dict[str, Any]) -> list[Message]:
    instruction = _text(_first(value, ("instruction",)))
    extra = _text(value.get("input"))
    messages: list[Message] = []
    if system := _text(value.get("system")):
        messages.append({"role": "system", "content": system})
    history = _unpacked(value.get("history")) or []
    if not isinstance(history, list):
        raise BadLayout("bad_history")
    for exchange in history:
        if not isinstance(exchange, list | tuple) or len(exchange) != 2:
            raise BadLayout("bad_history")
        messages.append({"role": "user", "content": _text(exchange[0])})
        messages.append({"role": "assistant", "content": _text(exchange[1])})
    question = f"{instruction}\n{extra}" if extra.strip() else instruction
    messages.append({"role": "user", "content": question})
    messages.append({"role": "assistant", "content": _text(_first(value, ("output", "response", "answer")))})
    return messages


def _from_sharegpt(value: dict[str, Any]) -> list[Message]:
    turns = _unpacked(_first(value, ("conversations", "conversation")))
    if not isinstance(turns, list):
        raise BadLayout("missing_columns")
    messages: list[Message] = []
    if system := _text(value.get("system")):
        messages.append({"role": "system", "content": system})
    for turn in turns:
        if not isinstance(turn, dict) or "from" not in turn or "value" not in turn:
            raise BadLayout("missing_columns")
        role = SHAREGPT_ROLES.get(str(turn["from"]).lower())
        if role is None:
            raise BadLayout("unknown_role")
        if role == "function_call":
            call = _call(_loaded(_text(turn["value"])))
            messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        else:
            messages.append({"role": role, "content": _text(turn["value"])})
    return messages


def _from_messages(value: dict[str, Any]) -> list[Message]:
    turns = _unpacked(_first(value, ("messages", "conversations", "conversation")))
    if not isinstance(turns, list):
        raise BadLayout("missing_columns")
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, dict) or "role" not in turn:
            raise BadLayout("missing_columns")
        role = str(turn["role"])
        role = {"developer": "system", "function": "tool"}.get(role, role)
        if role not in ROLES:
            raise BadLayout("unknown_role")
        message: Message = {"role": role, "content": _content(turn.get("content"))}
        if calls := _unpacked(turn.get("tool_calls")):
            if not isinstance(calls, list):
                raise BadLayout("bad_tool_call")
            message["tool_calls"] = [_call(call) for call in calls]
        if reasoning := turn.get("reasoning_content") or turn.get("reasoning") or turn.get("thinking"):
            message["reasoning_content"] = _text(reasoning)
        for key in ("name", "tool_call_id"):
            if turn.get(key):
                message[key] = turn[key]
        messages.append(message)
    return messages


def _from_prompt_completion(value: dict[str, Any]) -> list[Message]:
    prompt, completion = _first(value, _PROMPT), _first(value, _COMPLETION)
    messages: list[Message] = []
    if system := _text(value.get("system")):
        messages.append({"role": "system", "content": system})
    if isinstance(prompt, list) and isinstance(completion, list):
        return messages + _from_messages({"messages": prompt + completion})
    messages.append({"role": "user", "content": _text(prompt)})
    messages.append({"role": "assistant", "content": _text(completion)})
    return messages


_CONVERTERS: dict[Layout, Callable[[dict[str, Any]], list[Message]]] = {
    "alpaca": _from_alpaca,
    "sharegpt": _from_sharegpt,
    "messages": _from_messages,
    "prompt_completion": _from_prompt_completion,
}


def _first(value: dict[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        if value.get(name) is not None:
            return value[name]
    raise BadLayout("missing_columns")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise BadLayout("not_text")


def _content(value: Any) -> str:
    """Text content; a list of text parts, as the API allows, is put together."""
    if not isinstance(value, list):
        return _text(value)
    if any(not isinstance(part, dict) or part.get("type") != "text" for part in value):
        raise BadLayout("not_text")
    return "".join(_text(part.get("text")) for part in value)


def _unpacked(value: Any) -> Any:
    """CSV and some Parquet files keep lists as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise BadLayout("bad_tool_call") from None


def _call(call: Any) -> dict[str, Any]:
    """One tool call in the OpenAI form, its arguments a mapping."""
    if not isinstance(call, dict):
        raise BadLayout("bad_tool_call")
    function = call.get("function", call)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadLayout("bad_tool_call")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _loaded(arguments or "{}")
    if arguments and not isinstance(arguments, dict):
        raise BadLayout("bad_tool_call")
    kept = {"id": call["id"]} if call.get("id") else {}
    return kept | {"type": "function", "function": {"name": function["name"], "arguments": arguments or {}}}


def _tools(value: Any) -> Tools:
    tools = _unpacked(value)
    if not tools:
        return None
    if not isinstance(tools, list) or any(not isinstance(t, dict) for t in tools):
        raise BadLayout("bad_tools")
    tools = [t if "function" in t else {"type": "function", "function": t} for t in tools]
    for tool in tools:
        if not isinstance(tool["function"], dict) or not isinstance(tool["function"].get("name"), str):
            raise BadLayout("bad_tools")
    return tools

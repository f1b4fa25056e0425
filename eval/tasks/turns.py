"""The messages of a row in the OpenAI form, whatever its keys and speakers are called.

Read are objects with a role and a text (`role`/`content`, `from`/`value`), objects that hold a question and its answer
(`human`/`assistant`), pairs, and texts that alternate; as lists or as JSON text of lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from configs.errors import DataError
from configs.tables.cells import kind_of, turns_in, unpacked
from configs.tables.columns import is_content_key, is_role_key, part_of, speaker_of
from configs.tables.raw import is_blank
from eval.tasks.cells import text_of

Turn = dict[str, Any]
_COPIED = ("tool_calls", "tool_call_id", "name")


def turns_of(value: Any, column: str) -> list[Turn]:
    """The messages in a cell.

    Raises:
        DataError: it holds no messages, a speaker is unknown, or a message has no text.
    """
    turns = turns_in(value)
    if isinstance(turns, Mapping):  # one message, or messages under `turn_1`, `turn_2`, ...
        turns = list(turns.values()) if all(isinstance(turn, Mapping) for turn in turns.values()) else [turns]
    if not isinstance(turns, list | tuple):
        raise DataError(f"`{column}` holds {kind_of(value)} instead of messages", "write a list of role and content")
    if len(turns) == 1 and isinstance(turns[0], list) and turns[0] and isinstance(turns[0][0], Mapping):
        turns = turns[0]
    if are_messages(told := [unpacked(turn) for turn in turns]):  # each may be kept as JSON
        turns = told
    if turns and all(isinstance(turn, str) for turn in turns):
        return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    return [message for number, turn in enumerate(turns, 1) for message in _read(turn, f"`{column}`, message {number}")]


def are_messages(value: Any) -> bool:
    """Whether a cell is a list of messages that say who speaks, rather than a text."""
    turns = turns_in(value)
    return (
        isinstance(turns, list)
        and bool(turns)
        and all(isinstance(turn, Mapping) and any(map(is_role_key, map(str, turn))) for turn in turns)
    )


def history_of(value: Any, column: str) -> list[Turn]:
    """Earlier turns, which must end with an answer."""
    turns = turns_of(value, column)
    if turns and turns[-1]["role"] != "assistant":
        raise DataError(f"`{column}` ends with a turn of the {turns[-1]['role']}", "end it with an answer")
    return turns


def _read(turn: Any, where: str) -> Iterator[Turn]:
    if isinstance(turn, list | tuple) and len(turn) == 2:
        for role, text in zip(("user", "assistant"), turn, strict=True):
            yield {"role": role, "content": _said(text, where)}
        return
    if not isinstance(turn, Mapping):
        raise DataError(
            f"{where} is no message but {kind_of(turn)}", "write role and content, or a pair of question and answer"
        )
    role_key = "role" if "role" in turn else next((key for key in turn if is_role_key(key)), None)
    if role_key is None:
        yield from _exchange(turn, where)
        return
    speaker = speaker_of(str(turn[role_key]))
    if speaker is None:
        raise DataError(f"{where}: nobody knows the role {turn[role_key]!r}", "use system, user, assistant or tool")
    content_key = "content" if "content" in turn else next((key for key in turn if is_content_key(key)), "content")
    content = turn.get(content_key)
    if speaker == "call":
        yield {"role": "assistant", "content": None, "tool_calls": [_call(content, where)]}
        return
    copied = {key: unpacked(turn[key]) for key in _COPIED if not is_blank(turn.get(key))}
    if calls := copied.get("tool_calls"):
        copied["tool_calls"] = [_call(call, where) for call in (calls if isinstance(calls, list) else [calls])]
    text = None if copied.get("tool_calls") and is_blank(content) else _said(content, f"{where} ({speaker})")
    yield {"role": speaker, "content": text, **copied}


def _exchange(turn: Mapping[str, Any], where: str) -> Iterator[Turn]:
    """`{"human": "…", "assistant": "…"}`"""
    found = False
    for part, role in (("system", "system"), ("question", "user"), ("instruction", "user"), ("answer", "assistant")):
        for key in turn:
            if part_of(key) == part and not (role == "system" and is_blank(turn[key])):
                found = True
                yield {"role": role, "content": _said(turn[key], f"{where}, `{key}`")}
    if not found:
        raise DataError(f"{where} has the keys {', '.join(map(str, turn))}", "write role and content")


def _said(value: Any, where: str) -> str:
    """The text of a message; text parts, as the API allows them, are put together."""
    if value is None or (isinstance(value, float) and is_blank(value)):
        raise DataError(f"{where}: the text is {kind_of(value)}", "write the text, or take the message out")
    if not isinstance(value, list):
        return text_of(value, where)
    texts = []
    for part in value:
        if not isinstance(part, Mapping) or part.get("type", "text") != "text":
            kind = part.get("type") if isinstance(part, Mapping) else kind_of(part)
            raise DataError(f"{where} holds a part of type {kind}", "only text can be asked")
        texts.append(text_of(part.get("text"), where))
    return "".join(texts)


def _call(value: Any, where: str) -> dict[str, Any]:
    given = unpacked(value)
    call = unpacked(given["function"]) if isinstance(given, Mapping) and "function" in given else given
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        raise DataError(f"{where} is no function call: {kind_of(value)}", "write its name and arguments as JSON")
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    named = {"id": given["id"]} if isinstance(given, Mapping) and isinstance(given.get("id"), str) else {}
    return {**named, "type": "function", "function": {"name": call["name"], "arguments": text}}

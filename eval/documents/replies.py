"""The pairs in a model's reply, also where it wrapped its JSON in words or was cut before its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from configs.disk.files import whole
from eval.metrics.thinking import split_thinking

_QUESTION = ("question", "q", "问题", "问", "instruction", "prompt")
_ANSWER = ("answer", "a", "答案", "回答", "答", "response", "output")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)(?:```|\Z)", re.DOTALL)
_MOST_PAIRS = 64
_LONGEST = 50_000
"""Characters: each brace of a longer reply that is no JSON would be tried with all the text before it counted."""


@dataclass(frozen=True)
class Pair:
    """A question and its answer as a model wrote them."""

    question: str
    answer: str


@dataclass(frozen=True)
class Parsed:
    """What a reply held."""

    pairs: tuple[Pair, ...]
    unreadable: bool = False
    """It is no JSON in which pairs could be told."""
    incomplete: int = 0
    """Objects in it without a question or an answer in words."""


def pairs_of(content: str) -> Parsed:
    """The pairs in a reply: of the whole JSON, else of every whole object that stands in it."""
    reply = split_thinking(content)
    text = reply.answer if reply else ""
    fenced = _FENCE.search(text)
    body = (fenced[1] if fenced else text).strip()
    try:
        objects = list(_objects(json.loads(body)))
    except (ValueError, RecursionError):
        objects = list(_whole_objects(body[:_LONGEST]))
        if not objects:
            return Parsed((), unreadable=True)
    pairs, incomplete = [], 0
    for one in objects[:_MOST_PAIRS]:
        question, answer = _text(one, _QUESTION), _text(one, _ANSWER)
        if question and answer:
            pairs.append(Pair(question, answer))
        else:
            incomplete += 1
    return Parsed(tuple(pairs), incomplete=incomplete)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects that may be pairs: the value, or what lies in its lists."""
    if isinstance(value, list):
        for one in value:
            yield from _objects(one)
    elif isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        if lists and not any(name in value for name in (*_QUESTION, *_ANSWER)):
            yield from _objects(lists)
        else:
            yield value


def _whole_objects(text: str) -> Iterator[dict[str, Any]]:
    """The innermost objects of a text that are whole: what is left of JSON that was cut."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        yield from _objects(value)
        at = text.find("{", end)


def _text(one: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = one.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            return whole(value).strip()
    return ""

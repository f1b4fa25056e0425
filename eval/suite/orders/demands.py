"""What an instruction may demand beside its shape: how each demand is worded, and what checks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eval.suite.draft import Draft
from eval.suite.orders.topics import CLOSINGS, OPENINGS, Topic

Constraint = Mapping[str, Any]


@dataclass
class Order:
    """An instruction in parts.

    Attributes:
        shape: program that wrote it. count: of what the shape counts (sentences, items, lines, ...).
        request: what is asked for, without the demands.
        wording, constraints: one demand each, in one order.
        words: that must appear. frequent: one that must appear so many times. forbidden: one that must not.
        opening, closing: with which the answer begins and ends.
        shortest, longest: of the answer: characters in Chinese, words in English.
        banned: demands that this shape cannot be joined with.
    """

    shape: str
    request: str
    count: int = 0
    wording: list[str] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    frequent: tuple[str, int] | None = None
    forbidden: str | None = None
    opening: str | None = None
    closing: str | None = None
    shortest: int = 0
    longest: int | None = None
    banned: frozenset[str] = frozenset()

    def demand(self, wording: str, *constraints: Constraint) -> None:
        """Adds one demand."""
        self.wording.append(wording)
        self.constraints += constraints


DEMANDS = ("words", "frequent", "forbidden", "opening", "closing", "no_comma", "no_digits", "length")


def add_demands(draft: Draft, order: Order, topic: Topic, count: int) -> None:
    """Adds so many of the demands that the shape can be joined with."""
    words = list(draft.either(topic.zh_words, topic.en_words))
    draft.rng.shuffle(words)
    for name in draft.some([one for one in DEMANDS if one not in order.banned], count):
        _ADD[name](draft, order, words)


def _found(draft: Draft, word: str) -> Constraint:
    """English words count in either case: they may begin a sentence."""
    if draft.zh:
        return {"type": "contains", "value": word}
    return {"type": "regex", "value": rf"(?i)\b{re.escape(word)}\b"}


def _words(draft: Draft, order: Order, words: list[str]) -> None:
    order.words += [words.pop(), words.pop()] if len(words) > 3 else [words.pop()]
    zh, en = "和".join(f"“{w}”" for w in order.words), " and ".join(f'"{w}"' for w in order.words)
    plural = len(order.words) > 1
    order.demand(
        draft.either(f"必须提到{zh}", f"use the word{'s' if plural else ''} {en}"),
        *(_found(draft, word) for word in order.words),
    )


def _frequent(draft: Draft, order: Order, words: list[str]) -> None:
    word, times = words.pop(), draft.number(2, 3)
    order.frequent = word, times
    order.demand(
        draft.either(f"“{word}”这个词至少出现{times}次", f'use the word "{word}" at least {times} times'),
        {"type": "occurrences", "value": word, "min": times}
        if draft.zh
        else {"type": "regex", "value": rf"(?is)(?:\b{re.escape(word)}\b.*?){{{times}}}"},
    )


def _forbidden(draft: Draft, order: Order, words: list[str]) -> None:
    word = order.forbidden = words.pop()
    order.demand(
        draft.either(f"不要出现“{word}”这个词", f'do not use the word "{word}"'),
        {"type": "not_contains", "value": word}
        if draft.zh
        else {"type": "regex", "value": rf"(?is)\A(?!.*\b{re.escape(word)}\b)"},
    )


def _opening(draft: Draft, order: Order, words: list[str]) -> None:
    order.opening = draft.pick(OPENINGS[draft.language])
    order.demand(
        draft.either(f"整个回答以“{order.opening}”开头", f'begin the whole answer with "{order.opening}"'),
        {"type": "starts_with", "value": order.opening},
    )


def _closing(draft: Draft, order: Order, words: list[str]) -> None:
    order.closing = draft.pick(CLOSINGS[draft.language])
    order.demand(
        draft.either(f"整个回答以“{order.closing}”结尾", f'end the whole answer with "{order.closing}"'),
        {"type": "ends_with", "value": order.closing},
    )


def _no_comma(draft: Draft, order: Order, words: list[str]) -> None:
    order.demand(draft.either("全文不使用逗号", "use no commas"), {"type": "not_contains", "value": ["，", ","]})


def _no_digits(draft: Draft, order: Order, words: list[str]) -> None:
    order.demand(draft.either("不出现阿拉伯数字", "use no digits"), {"type": "no_digits"})


def _length(draft: Draft, order: Order, words: list[str]) -> None:
    """At most or at least so much, of what a shape of `count` parts can hold."""
    parts = max(order.count, 1)
    if draft.pick([True, False]):
        order.longest = draft.either(
            draft.number(20 * parts + 30, 26 * parts + 60, 10), draft.number(14 * parts + 20, 18 * parts + 40, 5)
        )
        order.demand(
            draft.either(f"全文（含标点）不超过{order.longest}个字", f"use at most {order.longest} words"),
            {"type": draft.either("max_chars", "max_words"), "value": order.longest},
        )
    else:
        order.shortest = draft.either(
            draft.number(16 * parts + 20, 24 * parts + 60, 10), draft.number(9 * parts + 15, 14 * parts + 40, 5)
        )
        order.demand(
            draft.either(f"全文（含标点）不少于{order.shortest}个字", f"use at least {order.shortest} words"),
            {"type": draft.either("min_chars", "min_words"), "value": order.shortest},
        )


_ADD = {
    "words": _words,
    "frequent": _frequent,
    "forbidden": _forbidden,
    "opening": _opening,
    "closing": _closing,
    "no_comma": _no_comma,
    "no_digits": _no_digits,
    "length": _length,
}

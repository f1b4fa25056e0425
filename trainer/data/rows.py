"""Conversations become token rows, in parallel: render, mask, and hold every row to the longest length."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from configs.errors import DataError
from configs.process.child import die_with
from configs.recipe.schema import DataConfig
from trainer.data.layouts import Conversation
from trainer.data.template import ChatCodec, TokenRow, TrainedTurn, Unrenderable, join_turns, render_turn, strings

Progress = Callable[[int, int], None]
"""Called with (conversations done, conversations in all)."""

_CHUNK = 250
_WORTH_A_POOL = 2000


@dataclass(frozen=True)
class Tokenized:
    """What became of one conversation."""

    rows: list[TokenRow]
    reasons: list[tuple[str, bool]]
    """(rule, whether it dropped a turn) for every rule that applied."""


@dataclass(frozen=True)
class _Work:
    codec: ChatCodec
    conversations: Sequence[Conversation]
    data: DataConfig
    thinking: bool


# The forked workers inherit it; sending a hundred thousand conversations through a pipe would take longer.
_work: _Work | None = None


def tokenize_all(
    codec: ChatCodec,
    conversations: Sequence[Conversation],
    data: DataConfig,
    *,
    thinking: bool,
    progress: Progress | None = None,
) -> list[Tokenized]:
    """Token rows of every conversation, in order; `data.workers` processes share the work when it is worth it."""
    global _work
    _work = _Work(codec, conversations, data, thinking)
    starts = range(0, len(conversations), _CHUNK)
    workers = data.workers or len(os.sched_getaffinity(0))
    results: list[Tokenized] = []
    try:
        if workers == 1 or len(conversations) < _WORTH_A_POOL:
            for start in starts:
                results += _chunk(start)
                if progress:
                    progress(len(results), len(conversations))
            return results
        # The tokenizer's own threads must not live in a process that forks.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(workers, fork, die_with, (os.getpid(),)) as pool:
            for part in pool.map(_chunk, starts):
                results += part
                if progress:
                    progress(len(results), len(conversations))
        return results
    finally:
        _work = None


def tokenize_conversation(codec: ChatCodec, conversation: Conversation, data: DataConfig, thinking: bool) -> Tokenized:
    """Token rows of one conversation; a turn that cannot be used costs that turn, not the others.

    Raises:
        DataError: a row is too long and `data.overlong` is `error`.
    """
    turns: list[TrainedTurn] = []
    reasons: list[tuple[str, bool]] = []
    answers = [
        i for i, m in enumerate(conversation.messages) if m["role"] == "assistant" and i not in conversation.untrained
    ]
    sizes = [sum(map(len, strings(message))) for message in conversation.messages]
    outside = sum(map(len, strings(conversation.tools)))
    # To be encoded, a text takes 150 bytes of memory a character; the 4 is for those that normalizing joins.
    most = 4 * codec.longest_token * data.max_length
    for index in answers if data.turns == "all" else answers[-1:]:
        try:
            if (characters := outside + sum(sizes[: index + 1])) > most:
                if data.overlong == "error":
                    raise DataError(
                        f"{conversation.place}: {characters:,} characters, more than data.max_length={data.max_length} "
                        "tokens can hold",
                        "set data.overlong to drop or truncate_history",
                    )
                raise Unrenderable("overlong")
            turn = render_turn(codec, conversation.messages, index, thinking=thinking, tools=conversation.tools)
            if _length(turn) > data.max_length:
                turn = _fit(codec, conversation, turn, data, thinking)
                reasons.append(("history_truncated", False))
        except Unrenderable as refused:
            reasons.append((refused.reason, True))
            continue
        if turn.guarded:
            reasons.append(("special_text_kept", False))
        turns.append(turn)
    rows = []
    for row in join_turns(turns):
        if row.trained:
            rows.append(row)
        else:
            reasons.append(("no_trained_token", True))
    return Tokenized(rows, reasons)


def _fit(
    codec: ChatCodec, conversation: Conversation, turn: TrainedTurn, data: DataConfig, thinking: bool
) -> TrainedTurn:
    """The turn with its oldest exchanges taken off until it fits; masking comes after, so an answer is never cut."""
    if data.overlong == "error":
        raise DataError(
            f"{conversation.place}: {_length(turn)} tokens, longer than data.max_length={data.max_length}",
            f"set data.max_length={_length(turn)}, or data.overlong to drop or truncate_history",
        )
    if data.overlong == "truncate_history":
        messages = conversation.messages[: turn.index + 1]
        head = messages[:1] if messages[0]["role"] == "system" else []
        questions = [i for i, m in enumerate(messages) if m["role"] == "user" and i > len(head)]
        for start in questions:
            shorter = head + messages[start:]
            fitted = render_turn(codec, shorter, len(shorter) - 1, thinking=thinking, tools=conversation.tools)
            if _length(fitted) <= data.max_length:
                return fitted
    raise Unrenderable("overlong")


def _chunk(start: int) -> list[Tokenized]:
    assert _work is not None
    return [
        tokenize_conversation(_work.codec, conversation, _work.data, _work.thinking)
        for conversation in _work.conversations[start : start + _CHUNK]
    ]


def _length(turn: TrainedTurn) -> int:
    return len(turn.prompt_ids) + len(turn.answer_ids)

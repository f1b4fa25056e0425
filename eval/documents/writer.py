"""Asks a model about passages, and writes down what it replies as it comes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from configs.disk.files import whole
from configs.errors import EndpointError
from eval.ask.client import Client, Outcome
from eval.ask.endpoint import Endpoint, Settings, sampling
from eval.ask.replies import AttemptError, check_chat
from eval.documents.asked import Replies, Reply
from eval.documents.passages import Passage
from eval.documents.prompts import Style, longest_reply, response_format, system_prompt, user_message

Progress = Callable[[str, int, int], None]
"""Called with what is written, how many passages are done, and how many there are."""
_NO_SHAPE = {"http_400", "http_404", "http_415", "http_422", "http_501"}
"""What servers answer that cannot hold a reply to a shape."""


@dataclass(frozen=True)
class Wanted:
    """What is asked about each passage."""

    per_passage: int
    """Pairs."""
    style: Style


@dataclass
class Unanswered:
    """Passages that got no reply, for what the report and the next step say."""

    kinds: Counter[str] = field(default_factory=Counter)
    first: str = ""
    """What the first error said."""

    def add(self, outcome: Outcome) -> None:
        self.kinds[outcome.error_kind or "unknown"] += 1
        self.first = self.first or outcome.error_message or ""


def ask_about(
    endpoint: Endpoint,
    settings: Settings,
    passages: Sequence[tuple[Passage, str]],
    wanted: Wanted,
    replies: Replies,
    on_progress: Progress = lambda what, done, total: None,
) -> Unanswered:
    """Has a model write about every passage; each reply is kept in `replies` as it comes.

    Args:
        endpoint: whom to ask.
        settings: concurrency and time limits; the answers are the likeliest ones.
        passages: with the language that each is to be written about in.
        wanted: what is asked.
        replies: where they go.
        on_progress: after each passage.

    Returns:
        Those that got none: the same command asks them again.

    Raises:
        EndpointError: there is no such server or model, or the key is refused.
    """
    return asyncio.run(_ask_about(endpoint, settings, passages, wanted, replies, on_progress))


async def _ask_about(
    endpoint: Endpoint,
    settings: Settings,
    passages: Sequence[tuple[Passage, str]],
    wanted: Wanted,
    replies: Replies,
    on_progress: Progress,
) -> Unanswered:
    unanswered, done = Unanswered(), 0

    def keep(passage: Passage, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        if outcome.reply is None:
            unanswered.add(outcome)
        else:
            choice = outcome.reply["choices"][0]
            replies.add(Reply(
                passage=passage.key,
                model=endpoint.model,
                content=whole(choice["message"]["content"] or ""),
                ended=choice.get("finish_reason") != "length",
            ))  # fmt: skip
        on_progress("questions", done, len(passages))

    async with Client(endpoint, settings) as client:
        served = await client.served()

        def body(passage: Passage, language: str, shaped: bool) -> bytes:
            longest = longest_reply(wanted.style, wanted.per_passage)
            longest += settings.thinking_tokens if settings.thinking else 0
            values = {"model": endpoint.model, **sampling(settings, longest, served.is_vllm)}
            values["messages"] = [
                {"role": "system", "content": system_prompt(language, wanted.style, wanted.per_passage)},
                {"role": "user", "content": user_message(passage, language)},
            ]
            if shaped:
                values["response_format"] = response_format(wanted.per_passage)
            return json.dumps(values, ensure_ascii=False).encode()

        # The first passage shows whether the server holds a reply to a shape; where it does not, none is asked for.
        (first, language), shaped = passages[0], True
        outcome = await client.ask("chat/completions", body(first, language, shaped), _check)
        if outcome.reply is None and outcome.error_kind in _NO_SHAPE:
            again = await client.ask("chat/completions", body(first, language, False), _check)
            outcome, shaped = (again, False) if again.reply is not None else (outcome, True)
        keep(first, outcome)
        jobs = ((passage, body(passage, spoken, shaped), _check) for passage, spoken in passages[1:])
        await client.ask_all("chat/completions", jobs, keep)
    return unanswered


def refuse_too_many(unanswered: Unanswered, asked: int, endpoint: Endpoint, allowed: float) -> None:
    """Raises EndpointError where more than this share of the passages got no reply."""
    failed = unanswered.kinds.total()
    if failed <= allowed * asked:
        return
    counted = ", ".join(f"{kind} {count}" for kind, count in unanswered.kinds.most_common())
    raise EndpointError(
        f"{endpoint.base_url}: {failed} of {asked} passages got no answer ({counted}), more than {allowed:.1%}; the "
        f"first: {unanswered.first}",
        "mend the cause and repeat the command: only what was not answered is asked again; "
        "or allow more: eval.max_error_rate",
    )


def _check(reply: dict[str, Any]) -> None:
    """A chat reply in words; thinking that was cut has none, and another attempt would be cut as well."""
    check_chat(reply)
    if reply["choices"][0]["message"]["content"] is None:
        raise AttemptError("cut_thinking", "the model thought until the reply was full", retry=False)

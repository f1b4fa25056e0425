"""Asks models that are served here, two at a time; answers come back together, so that time tells nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from configs.disk.files import whole
from configs.errors import ConfigError, TuneserveError
from eval.ask.client import Client, Outcome
from eval.ask.endpoint import Endpoint, Settings, sampling
from eval.ask.replies import check_chat
from eval.metrics.thinking import split_thinking
from serve.state.servers import status

LONGEST_ANSWER = 1024
"""Tokens."""


@dataclass(frozen=True)
class Served:
    """A model that answers here."""

    id: str
    """`PORT/NAME`, as the pages name it."""
    name: str
    endpoint: Endpoint


def served_here() -> list[Served]:
    """Every model name of this user's servers that are ready."""
    found = []
    for server in status():
        if server.state != "ready":
            continue
        for name in server.all_names:
            key = server.api_key_env or "TUNESERVE_API_KEY"
            endpoint = Endpoint(server.base_url, name, f"{server.port}", key)
            found.append(Served(f"{server.port}/{name}", name, endpoint))
    return found


def served_as(number: str) -> Served:
    """The served model of that id.

    Raises:
        ConfigError: it is not served any more.
    """
    for served in served_here():
        if served.id == number:
            return served
    raise ConfigError(f"{number} is not served here now", "start it: tuneserve serve RUN --adapter --detach")


async def ask_both(first: Served, second: Served, messages: list[dict[str, Any]]) -> tuple[str, str]:
    """Both answers to one conversation, sampled greedily.

    Raises:
        TuneserveError: one of the two did not answer.
    """
    answers = await asyncio.gather(*(_ask(served, [messages]) for served in (first, second)))
    return answers[0][0], answers[1][0]


async def ask_all_both(first: Served, second: Served, questions: list[str]) -> list[tuple[str, str]]:
    """Both answers to each question."""
    conversations = [[{"role": "user", "content": question}] for question in questions]
    one, other = await asyncio.gather(_ask(first, conversations), _ask(second, conversations))
    return list(zip(one, other, strict=True))


async def _ask(served: Served, conversations: list[list[dict[str, Any]]]) -> list[str]:
    settings = Settings(max_tokens=LONGEST_ANSWER, outage_s=5.0)
    answers: dict[int, str] = {}
    failed: list[str] = []

    def keep(number: int, outcome: Outcome) -> None:
        if outcome.reply is None:
            failed.append(outcome.error_message or "no answer")
            return
        choice = outcome.reply["choices"][0]
        message = choice["message"]
        said = split_thinking(message["content"], message.get("reasoning"), choice.get("finish_reason"))
        answers[number] = said.answer if said else ""

    async with Client(served.endpoint, settings) as client:
        known = await client.served()
        values = {"model": served.endpoint.model, **sampling(settings, LONGEST_ANSWER, known.is_vllm)}
        bodies = (
            whole(json.dumps({**values, "messages": turns}, ensure_ascii=False)).encode() for turns in conversations
        )
        await client.ask_all("chat/completions", ((n, body, check_chat) for n, body in enumerate(bodies)), keep)
    if failed:
        raise TuneserveError(f"{served.name}: {failed[0]}", "look at `tuneserve serve logs`")
    return [answers[number] for number in range(len(conversations))]

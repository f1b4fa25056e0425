"""Token ids in, what vLLM says of them out: how likely given answers are, and which answers end early.

Nothing here needs labels or a chat template: prompts are the ids that a template gave.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.errors import EndpointError, TuneserveError
from configs.handover.prompt_logprobs import answer_logprob, answer_request, chosen_tokens
from eval.ask.client import Client, Outcome
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.replies import check_completion

TokenIds = Sequence[int]


@dataclass(frozen=True)
class ReadAnswer:
    """A given answer as a model reads it after its prompt."""

    logprob: float
    """Log-likelihood in nats, summed over its tokens."""
    chosen: int
    """Its tokens that the model would have chosen itself, each after those before it."""


def answer_logprobs(
    endpoint: Endpoint, answers: Sequence[tuple[TokenIds, TokenIds]], settings: Settings | None = None
) -> list[float]:
    """The log-likelihoods of `read_answers`."""
    return [read.logprob for read in read_answers(endpoint, answers, settings)]


def read_answers(
    endpoint: Endpoint, answers: Sequence[tuple[TokenIds, TokenIds]], settings: Settings | None = None
) -> list[ReadAnswer]:
    """How a served model reads given answers, in the order given.

    Args:
        endpoint: a vLLM server.
        answers: prompts of one token or more, each with its answer; together they must fit into the served context.
        settings: concurrency and patience; nothing is sampled.

    Raises:
        EndpointError: the server is not vLLM, refused an answer, or stayed away.
    """
    bodies = [answer_request(endpoint.model, [*prompt, *answer]) for prompt, answer in answers]
    choices = first_choices(endpoint, bodies, settings)
    try:
        return [
            ReadAnswer(
                answer_logprob([*prompt, *answer], len(prompt), choice),
                chosen_tokens([*prompt, *answer], len(prompt), choice),
            )
            for (prompt, answer), choice in zip(answers, choices, strict=True)
        ]
    except TuneserveError as error:
        raise EndpointError(f"{endpoint.base_url}: {error.message}", error.next_step) from error


def ends_within(
    endpoint: Endpoint, prompts: Sequence[tuple[TokenIds, int]], end_token_id: int, settings: Settings | None = None
) -> list[bool]:
    """Whether the greedy answer to each prompt is complete within so many tokens, its end token included.

    Args:
        endpoint: a vLLM server.
        prompts: each with its number of tokens.
        end_token_id: ends an answer, as every other token does that the served model ends with.
        settings: seed, concurrency and patience.

    Raises:
        EndpointError: as `read_answers`.
    """
    settings = settings or Settings()
    greedy = {"model": endpoint.model, "temperature": 0.0, "seed": settings.seed, "stop_token_ids": [end_token_id]}
    bodies = [{**greedy, "prompt": list(prompt), "max_tokens": tokens} for prompt, tokens in prompts]
    return [choice["finish_reason"] == "stop" for choice in first_choices(endpoint, bodies, settings)]


def first_choices(
    endpoint: Endpoint, bodies: Sequence[Mapping[str, Any]], settings: Settings | None = None
) -> list[dict[str, Any]]:
    """The first choice of the answer to each body at `/v1/completions`, in the order given.

    Raises:
        EndpointError: one was refused, or the server stayed away.
    """

    async def ask() -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}

        def keep(index: int, outcome: Outcome) -> None:
            if outcome.reply is None:
                raise EndpointError(
                    f"{endpoint.label}: no answer to prompt {index}: {outcome.error_message}",
                    "only vLLM takes token ids and gives prompt_logprobs; prompt and answer must fit into its context",
                )
            found[index] = outcome.reply["choices"][0]

        jobs = ((index, json.dumps(body).encode(), check_completion) for index, body in enumerate(bodies))
        async with Client(endpoint, settings or Settings()) as client:
            await client.served()
            await client.ask_all("completions", jobs, keep)
        return [found[index] for index in range(len(bodies))]

    return asyncio.run(ask())

"""The log-probabilities that a served model gives to fixed texts, read through vLLM's `prompt_logprobs`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from configs.errors import EndpointError
from eval.client import Client, Outcome, check_completion
from eval.drift import read_prompt_logprobs
from eval.endpoint import Endpoint, Settings


@dataclass(frozen=True)
class TextLogprobs:
    """One text as a model reads it.

    `token_ids` are the tokens that have a log-probability: all but the first. `positions` maps, for each of them, token
    ids to log-probabilities (natural logarithm), the actual token always among them.
    """

    token_ids: Sequence[int]
    positions: Sequence[dict[int, float]]


def text_logprobs(
    endpoint: Endpoint, texts: Sequence[str], settings: Settings | None = None, top: int = 20
) -> list[TextLogprobs]:
    """Log-probabilities of every text, in the order given; `eval.drift.measure_drift` takes them of two endpoints.

    Args:
        texts: given to the model as they are, without a chat template.
        top: how many of the likeliest tokens are reported at each position, beside the actual one (vLLM allows 20).

    Raises:
        EndpointError: the server is not vLLM, refused a text, or stayed away.
    """

    async def ask() -> list[TextLogprobs]:
        found: dict[int, TextLogprobs] = {}

        def keep(index: int, outcome: Outcome) -> None:
            if outcome.reply is None:
                raise EndpointError(
                    f"{endpoint.label}: no log-probabilities for text {index}: {outcome.error_message}",
                    "only vLLM returns prompt_logprobs; a text must fit into its context",
                )
            choice = outcome.reply["choices"][0]
            ids, positions = choice.get("prompt_token_ids"), choice.get("prompt_logprobs")
            if not ids or not positions:
                raise EndpointError(
                    f"{endpoint.base_url} returned no prompt_logprobs", "measure the drift on a vLLM server"
                )
            found[index] = TextLogprobs(ids[1:], read_prompt_logprobs(ids, positions))

        body = {
            "model": endpoint.model,
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": top,
            "return_token_ids": True,
        }
        jobs = (
            (index, json.dumps({**body, "prompt": text}, ensure_ascii=False).encode(), check_completion)
            for index, text in enumerate(texts)
        )
        async with Client(endpoint, settings or Settings()) as client:
            await client.served()
            await client.ask_all("completions", jobs, keep)
        return [found[index] for index in range(len(texts))]

    return asyncio.run(ask())

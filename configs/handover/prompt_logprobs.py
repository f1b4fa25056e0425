"""What vLLM says of a prompt's own tokens, under `prompt_logprobs` in answers of `/v1/completions`.

The proof reads the likelihood of an answer there, the evaluation how far a model drifted, and training by soft targets
which tokens the base thought likely.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import TuneserveError

TOP = 20
"""Most likely tokens that a request can ask for at each place: as many as vLLM gives unless it is told otherwise."""
_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,9}")
_ROUNDED_UP = 1e-3
"""A probability of 1 may come out a little larger in few bits."""


def read_prompt_logprobs(token_ids: Sequence[int], choice: Mapping[str, Any]) -> list[dict[int, float]]:
    """Log-probabilities (natural logarithm) by token id, one mapping for each token of the prompt but the first.

    Args:
        token_ids: the prompt's tokens.
        choice: of the answer. Its `prompt_logprobs` has one entry a token, the first of them null; the others map
            token ids (strings in JSON) to objects with `logprob`, the actual token always among them.

    Raises:
        TuneserveError: there are none, they are of another number of tokens, a token's own is not among them, or what
            stands there is no log-probability.
    """
    positions = choice.get("prompt_logprobs")
    if not isinstance(positions, list) or not positions:
        raise TuneserveError(
            "the server returned no prompt_logprobs", "serve the model with vLLM: no other server is known to give them"
        )
    if len(positions) != len(token_ids):
        raise TuneserveError(
            f"the server gave log-probabilities for {len(positions)} of {len(token_ids)} prompt tokens",
            "raise serve.max_model_len; a text is longer than the served context",
        )
    read = []
    for place, (token, position) in enumerate(zip(token_ids, positions, strict=True)):
        if place == 0:
            continue
        logprobs = {int(key): _logprob(entry, place) for key, entry in _entries(position, place).items()}
        if token not in logprobs:
            raise TuneserveError(
                f"position {place} of the prompt has no log-probability for its own token {token}",
                "ask /v1/completions with prompt_logprobs of 0 or more and no echo",
            )
        read.append(logprobs)
    return read


def _entries(position: Any, place: int) -> Mapping[str, Any]:
    """What stands at a position, by token id; ids are written in one way, so that none comes twice.

    Raises:
        TuneserveError: it is no such mapping.
    """
    entries = {} if position is None else position
    if not isinstance(entries, dict) or not all(map(_TOKEN_ID.fullmatch, entries)):
        raise _strange(place, position)
    return entries


def _logprob(entry: Any, place: int) -> float:
    value = entry.get("logprob") if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e30 < value <= _ROUNDED_UP:
        raise _strange(place, entry)
    return float(value)


def _strange(place: int, found: Any) -> TuneserveError:
    return TuneserveError(
        f"position {place} of prompt_logprobs holds {reprlib.repr(found)}, which is no log-probability of tokens",
        "serve the model with vLLM: no other server is known to give them",
    )


def chosen_tokens(input_ids: Sequence[int], answer_start: int, choice: Mapping[str, Any]) -> int:
    """How many tokens of `input_ids[answer_start:]` the model would choose itself, each after what stands before it.

    Args:
        input_ids: the prompt of the request: a question and an answer.
        answer_start: index of the answer's first token, above 0.
        choice: of the answer to `answer_request`, which `answer_logprob` has looked at.
    """
    positions = choice["prompt_logprobs"]
    return sum(positions[i][str(input_ids[i])].get("rank") == 1 for i in range(answer_start, len(input_ids)))


def answer_request(model: str, input_ids: Sequence[int], top: int = 0) -> dict[str, Any]:
    """The body of a request to `/v1/completions` whose answer holds the likelihood of every token of the prompt.

    Args:
        top: how many of the most likely tokens are wanted at each place beside the prompt's own.
    """
    return {"model": model, "prompt": list(input_ids), "max_tokens": 1, "prompt_logprobs": top, "temperature": 0}


def answer_logprob(input_ids: Sequence[int], answer_start: int, choice: Mapping[str, Any]) -> float:
    """Log-likelihood in nats of `input_ids[answer_start:]` given what stands before, summed over its tokens.

    Args:
        input_ids: the prompt of the request: a question and the answer that is scored.
        answer_start: index of the answer's first token, above 0.
        choice: of the answer to `answer_request`.

    Raises:
        TuneserveError: as `read_prompt_logprobs`.
    """
    read = read_prompt_logprobs(input_ids, choice)
    return sum(read[i - 1][input_ids[i]] for i in range(answer_start, len(input_ids)))


def top_tokens(input_ids: Sequence[int], answer_start: int, choice: Mapping[str, Any]) -> list[list[tuple[int, float]]]:
    """The `TOP` most likely tokens at each place of `input_ids[answer_start:]`, the likeliest first.

    Args:
        input_ids: the prompt of the request: a question and an answer.
        answer_start: index of the answer's first token, above 0.
        choice: of the answer to `answer_request` with `top=TOP`.

    Returns:
        (token id, log-probability) of each; the answer's own token is among them only where it is so likely.

    Raises:
        TuneserveError: as `read_prompt_logprobs`, or there are fewer of them.
    """
    read = read_prompt_logprobs(input_ids, choice)
    found = []
    for place in range(answer_start, len(input_ids)):
        likeliest = sorted(read[place - 1].items(), key=lambda entry: (-entry[1], entry[0]))[:TOP]
        if len(likeliest) < TOP:
            raise TuneserveError(
                f"the server gave {len(likeliest)} of the {TOP} most likely tokens at position {place} of the prompt",
                f"serve the base with vLLM, and with no --max-logprobs below {TOP} in serve.args",
            )
        if max(token for token, _ in likeliest) >= 2**31:
            raise _strange(place, dict(likeliest))
        found.append(likeliest)
    return found

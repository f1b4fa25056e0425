"""The log-probabilities that a served model gives to fixed texts, read through vLLM's `prompt_logprobs`.

Base and tuned model are served one after the other, so each one's log-probabilities go to `drift.logprobs.json` in its
folder; `read_drift` then compares two folders.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.disk.files import file_bytes, parse_json, write_atomically
from configs.errors import ConfigError, EndpointError, TuneserveError
from configs.handover.base import as_dataclass
from configs.handover.prompt_logprobs import read_prompt_logprobs
from configs.terminal.console import warn
from eval.ask.client import Client, Outcome
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.replies import check_completion
from eval.ask.results import canonical_sha256
from eval.compare.comparison import Drift
from eval.compare.drift import general_texts, measure_drift

FILE = "drift.logprobs.json"


@dataclass(frozen=True)
class TextLogprobs:
    """One text as a model reads it.

    `token_ids` are the tokens that have a log-probability: all but the first. `positions` maps, for each of them, token
    ids to log-probabilities (natural logarithm), the actual token always among them.
    """

    token_ids: Sequence[int]
    positions: Sequence[dict[int, float]]


@dataclass(frozen=True)
class _Text(TextLogprobs):
    """One of them as it is recorded."""

    text: str


@dataclass(frozen=True)
class _Recorded:
    """`drift.logprobs.json`."""

    model: str
    texts_sha256: str
    texts: Sequence[_Text]


def text_logprobs(
    endpoint: Endpoint, texts: Sequence[str], settings: Settings | None = None, top: int = 20
) -> list[TextLogprobs]:
    """Log-probabilities of every text, in the order given; `eval.compare.drift` takes them of two endpoints.

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
            ids = choice.get("prompt_token_ids")
            if not isinstance(ids, list) or not ids:
                raise EndpointError(
                    f"{endpoint.base_url} returned no prompt_logprobs with their prompt_token_ids",
                    "measure the drift on a vLLM server",
                )
            try:
                found[index] = TextLogprobs(ids[1:], read_prompt_logprobs(ids, choice))
            except TuneserveError as error:
                raise EndpointError(f"{endpoint.base_url}: {error.message}", error.next_step) from error

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


def record_logprobs(
    endpoint: Endpoint, out_dir: Path, texts: Sequence[str] | None = None, settings: Settings | None = None
) -> Path:
    """Asks for the log-probabilities of `texts` (by default `general_texts`) and writes them to `out_dir`.

    Nothing is asked where the file already holds the same model's for the same texts. Raises as `text_logprobs` does.
    """
    texts = general_texts() if texts is None else texts
    path = out_dir / FILE
    head = {"model": endpoint.model, "texts_sha256": canonical_sha256(list(texts))}
    if path.exists():
        known = _recorded(path)
        if (known.model, known.texts_sha256) == (head["model"], head["texts_sha256"]):
            return path
    found = text_logprobs(endpoint, texts, settings)
    rows = [
        {
            "text": text,
            "token_ids": list(read.token_ids),
            "positions": [{token: round(value, 6) for token, value in position.items()} for position in read.positions],
        }
        for text, read in zip(texts, found, strict=True)
    ]
    out_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({**head, "texts": rows}, ensure_ascii=False, separators=(",", ":")))
    return path


def read_drift(base_dir: Path, tuned_dir: Path, confidence: float = 0.95) -> Drift | None:
    """How far the model in `tuned_dir` moved from the one in `base_dir`, from what `record_logprobs` wrote.

    None where the two read the texts as other tokens, which is said: their likelihoods are of other things.

    Raises:
        ConfigError: a file is missing or damaged, or the two hold other texts.
    """
    loaded = []
    for folder in (base_dir, tuned_dir):
        path = folder / FILE
        if not path.exists():
            raise ConfigError(f"{path}: no log-probabilities recorded", "record them while the model is served")
        loaded.append(_recorded(path))
    base, tuned = loaded
    if base.texts_sha256 != tuned.texts_sha256:
        raise ConfigError(f"{base_dir} and {tuned_dir} hold log-probabilities of different texts", "record both again")
    if any(before.token_ids != after.token_ids for before, after in zip(base.texts, tuned.texts, strict=True)):
        warn(f"drift on general text is not measured: {tuned.model} reads it as other tokens than the base")
        return None
    return measure_drift([read.text for read in base.texts], base.texts, tuned.texts, confidence=confidence)


def _recorded(path: Path) -> _Recorded:
    try:
        found = as_dataclass(_Recorded, parse_json(file_bytes(path)))
        for number, read in enumerate(found.texts):
            known = [token in position for token, position in zip(read.token_ids, read.positions, strict=True)]
            if not (read.text and known and all(known)):
                raise ValueError(f"texts.{number}: not every token has a log-probability")
    except ValueError as error:
        raise ConfigError(
            f"{path}: damaged: {error}", "delete it: it is recorded again while the model is served"
        ) from error
    return found

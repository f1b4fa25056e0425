"""How far a tuned model moved away from its base on general text, without any labels.

Two numbers from the log-probabilities that both give to the same text: the change of log-likelihood per character, and
a lower bound of the KL divergence per token. Both see small changes long before a benchmark score does. The
log-probabilities come from `/v1/completions` with `prompt_logprobs`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Protocol

import numpy as np

from configs.errors import ConfigError
from eval.compare.comparison import Drift
from eval.statistics.clustered import standard_error
from eval.statistics.interval import Interval, two_sided_t

TokenLogprobs = Mapping[int, float]
"""Log-probabilities of some tokens at one position, the actual one among them, by token id."""

_TINY = 1e-9


def kl_lower_bound(base: TokenLogprobs, tuned: TokenLogprobs) -> float:
    """Lower bound in nats of KL(base || tuned) at one position, from the tokens that both sides report.

    All other tokens are lumped into one. Lumping can only lower a KL divergence (the log-sum inequality; Cover and
    Thomas 2006, section 2.7), so this is a bound whatever the rest looks like, and it is exact over a whole vocabulary.
    """
    common = base.keys() & tuned.keys()
    total, rest_base, rest_tuned = 0.0, 1.0, 1.0
    for token in common:
        p, q = math.exp(base[token]), math.exp(tuned[token])
        total += p * (base[token] - tuned[token])
        rest_base, rest_tuned = rest_base - p, rest_tuned - q
    if common and rest_base > _TINY:
        total += rest_base * (math.log(rest_base) - math.log(max(rest_tuned, _TINY)))
    return max(0.0, total)


def general_texts() -> list[str]:
    """The fixed general text that drift is measured on: paragraphs of many kinds, Chinese and English, CC0."""
    lines = files("eval.compare").joinpath("drift_text.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


class ReadText(Protocol):
    """One text as a model read it; `eval.compare.logprobs.text_logprobs` returns these.

    `token_ids` are the tokens that have a log-probability (all but the first), `positions` maps token ids to
    log-probabilities for each of them.
    """

    @property
    def token_ids(self) -> Sequence[int]: ...

    @property
    def positions(self) -> Sequence[TokenLogprobs]: ...


def measure_drift(
    texts: Sequence[str], base: Sequence[ReadText], tuned: Sequence[ReadText], *, confidence: float = 0.95
) -> Drift:
    """Drift over documents.

    Args:
        texts: the documents, two or more.
        base, tuned: what each model made of them, in the same order.
        confidence: of the interval, which treats documents as the independent units.

    Raises:
        ConfigError: when base and tuned did not read the same tokens, or there are fewer than two documents.
    """
    if len(texts) < 2:
        raise ConfigError(f"drift needs two documents or more, not {len(texts)}", "give a text with more paragraphs")
    per_document: list[tuple[int, int, float, float, float]] = []
    for number, (text, before, after) in enumerate(zip(texts, base, tuned, strict=True)):
        ids = list(before.token_ids)
        if ids != list(after.token_ids):
            raise ConfigError(
                f"document {number} is {len(ids)} tokens to base and {len(after.token_ids)} to tuned, or other ones",
                "serve both models with the same tokenizer",
            )
        base_sum = math.fsum(position[token] for token, position in zip(ids, before.positions, strict=True))
        tuned_sum = math.fsum(position[token] for token, position in zip(ids, after.positions, strict=True))
        bound = math.fsum(kl_lower_bound(b, t) for b, t in zip(before.positions, after.positions, strict=True))
        per_document.append((len(text), len(ids), base_sum, tuned_sum, bound))
    characters, tokens, base_sums, tuned_sums, bounds = (
        np.array(column, float) for column in zip(*per_document, strict=True)
    )
    changes = tuned_sums - base_sums
    change = float(changes.sum() / characters.sum())
    # A ratio of sums: its error is that of the residuals, over the mean size of a document.
    error = standard_error((changes - change * characters) / characters.mean())
    width = error * two_sided_t(confidence, len(changes) - 1)
    return Drift(
        documents=len(texts),
        characters=int(characters.sum()),
        tokens=int(tokens.sum()),
        base_per_character=float(base_sums.sum() / characters.sum()),
        tuned_per_character=float(tuned_sums.sum() / characters.sum()),
        change_per_character=change,
        interval=Interval(change - width, change + width, confidence, "ratio_t"),
        kl_per_token=float(bounds.sum() / tokens.sum()),
    )

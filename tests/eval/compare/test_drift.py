"""Drift on general text, from log-probabilities with a known answer."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from configs.errors import ConfigError
from eval.compare.drift import general_texts, kl_lower_bound, measure_drift
from eval.statistics.mean_of_tasks import mean_interval
from eval.statistics.tango import tango_interval

P, Q = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.4, 0.2, 0.3, 0.1])


def logprobs(probabilities: np.ndarray, tokens: range) -> dict[int, float]:
    return {token: math.log(probabilities[token]) for token in tokens}


def test_kl_is_exact_over_everything_and_below_it_otherwise() -> None:
    exact = float(np.sum(P * np.log(P / Q)))
    assert kl_lower_bound(logprobs(P, range(4)), logprobs(Q, range(4))) == pytest.approx(exact)
    bounds = [kl_lower_bound(logprobs(P, range(k)), logprobs(Q, range(k))) for k in (1, 2, 3)]
    assert 0 < bounds[0] <= bounds[1] <= bounds[2] <= exact + 1e-12
    binary = 0.5 * math.log(0.5 / 0.4) + 0.5 * math.log(0.5 / 0.6)
    assert bounds[0] == pytest.approx(binary)
    assert kl_lower_bound(logprobs(P, range(4)), logprobs(P, range(4))) == 0.0
    assert kl_lower_bound({1: -0.1}, {2: -0.1}) == 0.0


@dataclass(frozen=True)
class Read:
    token_ids: list[int]
    positions: list[dict[int, float]]


def test_drift_over_documents() -> None:
    texts = ["春眠不觉晓", "处处闻啼鸟夜来"]
    base = [Read([7, 8], [{7: -1.0}, {8: -2.0}]), Read([9], [{9: -3.0}])]
    tuned = [Read([7, 8], [{7: -1.5}, {8: -2.0}]), Read([9], [{9: -4.0}])]
    drift = measure_drift(texts, base, tuned)
    assert (drift.documents, drift.characters, drift.tokens) == (2, 12, 3)
    assert drift.base_per_character == pytest.approx(-6 / 12)
    assert drift.change_per_character == pytest.approx(-1.5 / 12)
    assert drift.interval.lower < drift.change_per_character < drift.interval.upper
    assert drift.kl_per_token > 0
    unmoved = measure_drift(texts, base, base)
    assert (unmoved.change_per_character, unmoved.kl_per_token) == (0.0, 0.0)


def test_other_tokens_are_refused() -> None:
    one, two = Read([1], [{1: -1.0}]), Read([1, 2], [{1: -1.0}, {2: -1.0}])
    with pytest.raises(ConfigError, match="document 1 is 1 tokens to base and 2 to tuned") as caught:
        measure_drift(["a", "b"], [one, one], [one, two])
    assert "tokenizer" in caught.value.next_step
    with pytest.raises(ConfigError, match="two documents"):
        measure_drift(["a"], [one], [one])


def test_the_general_text_is_varied_and_distinct() -> None:
    texts = general_texts()
    assert len(texts) >= 24
    assert len(set(texts)) == len(texts)
    assert all(40 <= len(text) <= 600 for text in texts)


def test_mean_over_tasks_keeps_the_width_of_no_flips() -> None:
    unmoved = tango_interval(0, 0, 500)
    interval = mean_interval([0.0, 0.0], [unmoved, unmoved])
    assert interval.upper == pytest.approx(unmoved.upper / math.sqrt(2), rel=1e-6)
    with pytest.raises(ValueError, match="different confidence"):
        mean_interval([0.0, 0.0], [unmoved, tango_interval(0, 0, 500, confidence=0.9)])

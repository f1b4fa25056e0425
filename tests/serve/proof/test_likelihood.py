"""The verdict of the proof on numbers whose answer is known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from configs.handover import ProofRow, Switched
from configs.schema import ProofConfig
from serve.proof.likelihood import proof_of

TEN_TOKENS: dict[str, Any] = {"input_ids": list(range(15)), "answer_start": 5}
ROWS = [ProofRow(id=f"r{i}", base_logprob=-20.0 - i, adapter_logprob=-10.0 + i, **TEN_TOKENS) for i in range(4)]
ADAPTER = [row.adapter_logprob for row in ROWS]
EFFECT = (10 + 12 + 14 + 16) / 4


def test_equal_likelihoods_pass():
    proof = proof_of(ROWS, ADAPTER, ProofConfig())
    assert proof.passed
    assert (proof.mean_gap, proof.mean_effect, proof.recovered) == (0, EFFECT, 1)


@pytest.mark.parametrize(("share", "passed"), [(0.049, True), (0.051, False)])
def test_the_bound_of_the_mean_is_5_percent_of_the_effect(share: float, passed: bool):
    served = [a + share * EFFECT for a in ADAPTER]
    assert proof_of(ROWS, served, ProofConfig()).passed is passed


def test_half_an_adapter_fails_and_says_how_much_is_there():
    served = [(row.adapter_logprob + row.base_logprob) / 2 for row in ROWS]
    proof = proof_of(ROWS, served, ProofConfig())
    assert not proof.passed
    assert "50 % of the adapter's gain" in proof.sentence()


@pytest.mark.parametrize(("share", "passed"), [(0.24, True), (0.26, False)])
def test_rounded_weights_have_a_wider_bound_and_their_loss_is_stated(share: float, passed: bool):
    proof = proof_of(ROWS, [a - share * EFFECT for a in ADAPTER], ProofConfig(), rounded=True)
    assert proof.passed is passed
    assert proof.shift_per_token == pytest.approx(-share * EFFECT / 10)
    said = proof.sentence()
    assert said.startswith("rounded weights stay close" if passed else "rounded weights are NOT the trained ones")
    assert f"off by {100 * share:.2f} % of what the adapter changes (allowed 25 %)" in said
    assert f"{100 * (1 - share):.1f} % of the adapter's gain is there" in said
    assert f"perplexity of the answers x {math.exp(share * EFFECT / 10):.4f}" in said


def test_half_an_adapter_fails_the_wider_bound_too():
    served = [(row.adapter_logprob + row.base_logprob) / 2 for row in ROWS]
    assert not proof_of(ROWS, served, ProofConfig(), rounded=True).passed


def test_one_row_far_off_fails_though_the_mean_is_fine():
    rows = [ProofRow(id=f"r{i}", base_logprob=-20.0, adapter_logprob=-10.0, **TEN_TOKENS) for i in range(1000)]
    served = [-10.0] * 999 + [-10.0 - 6.0]
    proof = proof_of(rows, served, ProofConfig())
    assert proof.mean_gap < proof.bound
    assert not proof.passed
    assert "row r999" in proof.sentence()


def test_an_adapter_without_effect_proves_nothing():
    rows = [ProofRow(id="r", base_logprob=-1.0, adapter_logprob=-1.0, **TEN_TOKENS)]
    proof = proof_of(rows, [-1.0], ProofConfig())
    assert not proof.passed
    assert "no effect" in proof.sentence()


@pytest.mark.parametrize(
    ("content", "reasoning", "reason", "passed"),
    [
        (True, False, "stop", True),
        (False, True, "length", True),
        (False, True, "stop", False),
        (False, False, "stop", False),
    ],
)
def test_a_switched_answer_that_ended_must_have_content(content: bool, reasoning: bool, reason: str, passed: bool):
    seen = Switched(thinking=True, content=content, reasoning=reasoning, finish_reason=reason)
    assert seen.passed is passed

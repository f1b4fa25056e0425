"""The verdict of the proof on numbers whose answer is known."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from configs.errors import TuneserveError
from configs.handover.base import read_rows, write_rows
from configs.handover.rows import ProofRow, ServedAnswer
from configs.handover.serving import Switched
from configs.recipe.schema import ProofConfig
from serve.proof import likelihood
from serve.proof.likelihood import check_proof, proof_of

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


def test_what_was_trained_over_a_rounded_base_may_be_off_to_both_sides_only():
    draw = random.Random(1)
    rows = [ProofRow(id=f"r{i}", base_logprob=-3.0, adapter_logprob=-1.5, **TEN_TOKENS) for i in range(64)]
    served = [-1.5 + draw.choice((-0.2, 0.2)) for _ in rows]
    shifted = [-1.5 - 0.2] * 64
    assert not proof_of(rows, served, ProofConfig()).passed
    proof = proof_of(rows, served, ProofConfig(), trained_bits=8)
    assert proof.passed
    assert (
        "off by 13.33 % of what the adapter changes (allowed 25 %, the base was in 8 bits in training)"
        in proof.sentence()
    )
    assert proof_of(rows, served, ProofConfig(), trained_bits=4).tolerance == 0.5
    missing = proof_of(rows, shifted, ProofConfig(), trained_bits=8)
    assert missing.mean_gap < missing.bound
    assert not missing.passed
    assert "NOT the trained ones: off by 13.33 % of what the adapter changes (allowed 10 %)" in missing.sentence()
    assert "87 % of the adapter's gain" in missing.sentence()


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


def scaled_row(number: int, at_half: float, at_most: float) -> ProofRow:
    """A row that gains 10 nats with the whole adapter, and so much with 0.5 and 0.85 of it."""
    scaled = {0.5: -20.0 + at_half, 0.85: -20.0 + at_most}
    return ProofRow(id=f"r{number}", base_logprob=-20.0, adapter_logprob=-10.0, scaled_logprobs=scaled, **TEN_TOKENS)


def test_a_scale_is_proved_by_what_was_stored_for_it():
    rows = [scaled_row(i, 7.0 + i % 3, 9.0) for i in range(8)]
    served = [row.at(0.5) for row in rows]
    proof = proof_of(rows, served, ProofConfig(), 0.5)
    assert (proof.passed, proof.scale, proof.served_scale, proof.mean_gap) == (True, 0.5, None, 0)
    assert proof.mean_effect == pytest.approx(sum(7.0 + i % 3 for i in range(8)) / 8)
    whole = proof_of(rows, served, ProofConfig())
    assert (whole.passed, whole.served_scale) == (False, 0.5)
    assert "meant to count 1 times as much as it was trained to, what is served counts 0.5 times" in whole.sentence()


def test_another_scale_is_found_although_the_tolerance_holds_it():
    """Answers that are learned so well that the last 15 % of the adapter add 3 % of the effect."""
    rows = [scaled_row(i, 8.0, 9.7) for i in range(32)]
    wiggles = [0.02 if i % 2 else -0.02 for i in range(32)]
    served = [row.at(0.85) + wiggle for row, wiggle in zip(rows, wiggles, strict=True)]
    wrong = proof_of(rows, served, ProofConfig())
    assert wrong.mean_gap < wrong.bound
    assert (wrong.passed, wrong.served_scale) == (False, 0.85)
    assert proof_of(rows, served, ProofConfig(), 0.85).passed


def test_what_number_formats_do_to_rows_is_not_taken_for_another_scale():
    """Noise as large as what the last 15 % of the adapter add leaves the verdict alone, whatever its signs."""
    rows = [scaled_row(i, 8.0, 9.8) for i in range(32)]
    for seed in range(200):
        draw = random.Random(seed)
        served = [row.adapter_logprob + draw.gauss(0, 0.2) for row in rows]
        assert proof_of(rows, served, ProofConfig()).passed


def test_rounded_weights_are_not_taken_for_another_scale():
    rows = [scaled_row(i, 7.0, 9.0) for i in range(32)]
    assert proof_of(rows, [row.at(0.85) for row in rows], ProofConfig(), rounded=True).passed


def test_a_scale_that_training_did_not_store_is_refused_with_those_that_it_did():
    with pytest.raises(TuneserveError, match=r"merge.scale is 0.6, .* for 0.5, 0.85, 1 only") as error:
        proof_of([scaled_row(0, 7.0, 9.0)], [-13.0], ProofConfig(), 0.6)
    assert "take one of these" in error.value.next_step


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


def test_what_the_server_gave_is_kept_and_makes_the_figure_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "proof.jsonl", ROWS)
    served = iter([a - 0.125 for a in ADAPTER])
    monkeypatch.setattr(likelihood, "in_parallel", lambda ask, rows: [next(served) for _ in rows])
    record = tmp_path / "eval" / "proof_served.jsonl"
    proof = check_proof(None, "m", tmp_path / "proof.jsonl", ProofConfig(), record=record)  # type: ignore[arg-type]
    rows, kept = read_rows(tmp_path / "proof.jsonl", ProofRow, "train"), read_rows(record, ServedAnswer, "tuned")
    assert [one.id for one in kept] == [row.id for row in rows]
    gaps = [abs(one.served_logprob - row.adapter_logprob) for row, one in zip(rows, kept, strict=True)]
    assert sum(gaps) / len(gaps) == pytest.approx(proof.mean_gap) == 0.125

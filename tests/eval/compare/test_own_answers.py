"""How likely the tuned model finds the base's own answers: measured by answer, gated in nats a token."""

from pathlib import Path

import numpy as np
import pytest

from configs.recipe.schema import GateConfig
from eval.ask.endpoint import Endpoint
from eval.compare.compare import compare
from eval.compare.own_answers import OwnAnswer, measure_own_answers, read_own_answers, record_own_answers
from eval.report.rows import Rows
from tests.eval.synthetic import pair, sides

GATE = GateConfig()


def answers(change: float, spread: float = 0.05, count: int = 200, seed: int = 0) -> list[OwnAnswer]:
    """Answers of which each token became as much less likely on average, more in some than in others."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(20, 300, size=count)
    moved = (change + spread * rng.normal(size=count)) * tokens
    return [
        OwnAnswer(f"self:{k}", int(n), -0.4 * n, -0.4 * n + d)
        for k, (n, d) in enumerate(zip(tokens, moved, strict=True))
    ]


@pytest.mark.parametrize(
    ("change", "spread", "state"),
    [(-0.005, 0.05, "pass"), (-0.2, 0.05, "fail"), (-0.02, 0.05, "not_enough_evidence"), (0.02, 0.05, "pass")],
)
def test_the_three_states(change: float, spread: float, state: str) -> None:
    decided = compare(*sides(pair("ceval", 4000, 2500, 60, 60)), GATE, own_answers=answers(change, spread)).gate
    check = decided.checks[-1]
    assert (check.kind, check.state, check.unit) == ("own_answers", state, "nats")
    assert decided.verdict == state
    assert check.lower_points < check.delta_points < check.upper_points


def test_a_verdict_does_not_rest_on_it_alone() -> None:
    decided = compare(*sides(pair("tiny", 100, 60, 1, 1)), GATE, own_answers=answers(0.0)).gate
    assert decided.verdict == "not_enough_evidence"


def test_few_answers_are_described() -> None:
    decided = compare(*sides(pair("ceval", 4000, 2500, 60, 60)), GATE, own_answers=answers(-0.5, count=20)).gate
    assert decided.checks[-1].state == "described"
    assert decided.verdict == "pass"
    without = compare(*sides(pair("ceval", 4000, 2500, 60, 60)), GATE)
    assert without.own_answers is None
    assert [check.kind for check in without.gate.checks] == ["group"]


def test_the_interval_covers_the_change() -> None:
    covered = 0
    for seed in range(300):
        seen = measure_own_answers(answers(-0.05, 0.1, count=100, seed=seed), 0.95)
        assert seen is not None
        covered += seen.interval.lower <= -0.05 <= seen.interval.upper
    assert covered / 300 == pytest.approx(0.95, abs=0.035)


def test_long_answers_count_by_their_tokens() -> None:
    seen = measure_own_answers([OwnAnswer("a", 100, -10.0, -20.0), OwnAnswer("b", 300, -30.0, -30.0)], 0.95)
    assert seen is not None
    assert seen.change_per_token == pytest.approx(-10 / 400)
    assert (seen.base_per_token, seen.tokens) == (-0.1, 400)


def test_figures_are_shown_in_nats() -> None:
    compared = compare(*sides(pair("ceval", 4000, 2500, 60, 60)), GATE, own_answers=answers(-0.03))
    row = Rows(compared).gate().rows[-1]
    assert row[0] == "The base's own answers (nats a token)"
    assert row[3] == "0.02"
    assert row[4].startswith("-0.0")
    assert len(row[4]) == 7


def test_what_is_recorded_of_the_same_answers_is_not_asked_again(tmp_path: Path) -> None:
    gone = Endpoint("http://127.0.0.1:9", "nobody", "tuned")
    (tmp_path / "own_answers.jsonl").write_text('{"id": "self:1", "tokens": 2, "base": -1.5, "tuned": -1.75}\n')
    assert read_own_answers(tmp_path) == [OwnAnswer("self:1", 2, -1.5, -1.75)]
    assert record_own_answers(gone, tmp_path, [("self:1", [1, 2], [3, 4], -1.5)]) == read_own_answers(tmp_path)

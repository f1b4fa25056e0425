"""The gate on data that grow: what may be said at each look, and when nothing more is asked."""

import numpy as np
import pytest

from configs.recipe.schema import GateConfig
from eval.compare.gate import Evidence
from eval.compare.looks import Looks, confidence_of
from eval.compare.planned import items_for_a_verdict
from eval.statistics.spending import Spending

GATE = GateConfig()


def grown(n: int, lost: float, gained: float, name: str = "g", whole: int = 6000, seed: int = 0) -> Evidence:
    """The first n of so many answers, of which these shares are lost and gained."""
    fate = np.random.default_rng(seed).uniform(size=whole)
    before = np.where(fate < lost, 1.0, np.where(fate < lost + gained, 0.0, fate > 0.6))
    after = before - (fate < lost) + ((fate >= lost) & (fate < lost + gained))
    return Evidence(name, before[:n], after[:n], whole=whole)


def asked(lost: float, gained: float, block: int = 750, **kinds) -> Looks:
    looks, n = Looks(["g"], GATE), 0
    while looks.open:
        n = min(6000, n + block)
        looks.look({"g": grown(n, lost, gained, **kinds)})
    return looks


def test_an_unchanged_model_is_asked_a_part() -> None:
    looks = asked(0.05, 0.05)
    check = looks.taken[-1].checks[0]
    assert check.state == "pass"
    assert check.n < 3000
    assert check.look == len(looks.taken)
    assert [look.checks[0].state for look in looks.taken[:-1]] == ["not_enough_evidence"] * (len(looks.taken) - 1)


def test_a_model_that_fell_is_found_out_early() -> None:
    looks = asked(0.20, 0.05)
    assert looks.taken[-1].checks[0].state == "fail"
    assert len(looks.taken) <= 2


def test_at_the_margin_everything_is_asked() -> None:
    looks = asked(0.06, 0.04)
    check = looks.taken[-1].checks[0]
    assert check.state == "not_enough_evidence"
    assert looks.open == frozenset()
    assert check.n == 6000
    assert check.all_asked
    assert check.information == pytest.approx(6000 / items_for_a_verdict(0.10, GATE), rel=0.1)


def test_what_is_open_at_the_planned_information_is_asked_on() -> None:
    """A loss of a point and a third is within a margin of two; 2,700 items are planned for a loss of none."""
    looks = asked(0.056, 0.043)
    check = looks.taken[-1].checks[0]
    assert check.state == "pass"
    assert check.n > items_for_a_verdict(0.10, GATE) + 750


def test_bounds_are_those_of_the_spending_function() -> None:
    looks = asked(0.06, 0.04)
    spending = Spending(0.05)
    for look in looks.taken:
        information, n = look.checks[0].information, look.items["g"]
        z = spending.look(information, n, information * 6000 / n)
    last = looks.taken[-1].checks[0]
    whole = grown(last.n, 0.06, 0.04)
    assert last.lower_points == pytest.approx(whole.bounds(confidence_of(z)).lower)
    assert looks.walk().one_sided["g"] == pytest.approx(confidence_of(z))
    # The last look of several is dearer than a single one, and a two-sided interval is wider than its bounds.
    assert looks.walk().two_sided["g"] > looks.walk().one_sided["g"] > 0.90


def test_a_single_look_is_the_ordinary_test() -> None:
    looks = Looks(["g"], GATE)
    looks.look({"g": grown(6000, 0.05, 0.05)})
    assert looks.walk().one_sided["g"] == pytest.approx(0.90)
    assert looks.walk().two_sided["g"] == pytest.approx(0.95)


def test_looks_that_were_taken_for_a_tighter_margin_can_be_gone_through_again() -> None:
    """A margin of 4 points has all planned information after a quarter of the items; the later looks spend the rest."""
    looks = Looks(["g"], GateConfig(margin_points=4))
    for n in range(750, 6001, 750):
        looks.look({"g": grown(n, 0.13, 0.09)})
    assert looks.taken[1].checks[0].information > 1 or looks.taken[2].checks[0].information > 1
    assert 0.90 <= looks.walk().one_sided["g"] < 0.98


def test_what_passed_has_passed_while_others_are_asked_on() -> None:
    looks, n = Looks(["still", "noisy"], GATE), 0
    while looks.open:
        n += 750
        looks.look({"still": grown(n, 0.01, 0.01, "still"), "noisy": grown(n, 0.10, 0.10, "noisy", seed=1)})
    first = next(look for look in looks.taken if look.checks[0].state == "pass")
    last = looks.taken[-1]
    assert last.number > first.number
    assert last.checks[0] == first.checks[0]
    assert [check.kind for check in last.checks] == ["group", "group", "mean"]


def test_a_group_that_passed_is_asked_on_only_for_the_mean() -> None:
    looks = Looks(["still", "noisy"], GATE)
    looks.look({"still": grown(750, 0.01, 0.01, "still"), "noisy": grown(750, 0.10, 0.10, "noisy", seed=1)})
    states = {check.name: check.state for check in looks.taken[-1].checks}
    assert states == {"still": "pass", "noisy": "not_enough_evidence", "mean": "not_enough_evidence"}
    assert looks.open == {"still", "noisy"}
    while {check.name: check.state for check in looks.taken[-1].checks}["mean"] != "pass":
        n = looks.taken[-1].items["noisy"] + 750
        looks.look({"still": grown(n, 0.01, 0.01, "still"), "noisy": grown(n, 0.10, 0.10, "noisy", seed=1)})
    assert looks.open <= {"noisy"}


def test_one_failure_ends_it_all() -> None:
    looks = Looks(["fell", "noisy"], GATE)
    looks.look({"fell": grown(750, 0.30, 0.05, "fell"), "noisy": grown(750, 0.15, 0.15, "noisy")})
    assert {check.name: check.state for check in looks.taken[-1].checks}["fell"] == "fail"
    assert looks.open == frozenset()


def test_false_passes_and_power_hold_over_all_looks() -> None:
    """200 experiments; `scripts/bench/gate_errors.py` makes thousands."""
    ended = [asked(0.06, 0.04, seed=seed).taken[-1].checks[0].state for seed in range(200)]
    assert ended.count("pass") / 200 < 0.09
    ended = [asked(0.05, 0.05, seed=seed).taken[-1].checks[0].state for seed in range(60)]
    assert ended.count("pass") / 60 > 0.85


def test_items_for_a_verdict() -> None:
    assert items_for_a_verdict(0.10, GATE) == 2706
    assert items_for_a_verdict(0.20, GATE) == 5411

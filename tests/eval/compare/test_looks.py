"""The gate on data that grow: what may be said at each look, and when nothing more is asked."""

import numpy as np
import pytest

from configs.schema import GateConfig
from eval.compare.gate import Evidence
from eval.compare.looks import Looks, confidence_of
from eval.compare.planned import items_for_a_verdict
from eval.statistics.spending import bounds

GATE = GateConfig()


def grown(n: int, lost: float, gained: float, name: str = "g", whole: int = 6000, seed: int = 0) -> Evidence:
    """The first n of so many answers, of which these shares are lost and gained."""
    fate = np.random.default_rng(seed).uniform(size=whole)
    before = np.where(fate < lost, 1.0, np.where(fate < lost + gained, 0.0, fate > 0.6))
    after = before - (fate < lost) + ((fate >= lost) & (fate < lost + gained))
    return Evidence(name, before[:n], after[:n], complete=n >= whole)


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


def test_at_the_margin_asking_ends_with_the_planned_information() -> None:
    looks = asked(0.06, 0.04)
    check = looks.taken[-1].checks[0]
    assert check.state == "not_enough_evidence"
    assert looks.open == frozenset()
    assert check.information >= 1
    assert check.n == pytest.approx(items_for_a_verdict(0.10, GATE), abs=750)


def test_bounds_are_those_of_the_spending_function() -> None:
    looks = asked(0.06, 0.04)
    shares = [min(1.0, look.checks[0].information) for look in looks.taken]
    z = bounds(shares, [look.items["g"] for look in looks.taken], 0.05)
    last = looks.taken[-1].checks[0]
    whole = grown(last.n, 0.06, 0.04)
    assert last.lower_points == pytest.approx(whole.bounds(confidence_of(z[-1])).lower)
    assert looks.walk().one_sided["g"] == pytest.approx(confidence_of(z[-1]))
    # The last look of several is dearer than a single one, and a two-sided interval is wider than its bounds.
    assert looks.walk().two_sided["g"] > looks.walk().one_sided["g"] > 0.90


def test_a_single_look_is_the_ordinary_test() -> None:
    looks = Looks(["g"], GATE)
    looks.look({"g": grown(6000, 0.05, 0.05)})
    assert looks.walk().one_sided["g"] == pytest.approx(0.90)
    assert looks.walk().two_sided["g"] == pytest.approx(0.95)


def test_looks_that_were_taken_for_a_tighter_margin_are_gone_through_again() -> None:
    """A margin of 4 points is over after a quarter of the items; the later looks would have no error left to spend."""
    wide = GateConfig(margin_points=4)
    rounds = [{"g": grown(n, 0.13, 0.09)} for n in range(750, 6001, 750)]

    def gone_through(overrun: dict[str, float] | None) -> Looks:
        looks = Looks(["g"], wide, overrun)
        for groups in rounds:
            looks.look(groups)
        return looks

    first = gone_through(None)
    assert first.overrun["g"] > 2
    assert first.walk().one_sided["g"] > 0.999
    again = gone_through(first.overrun)
    assert again.overrun == {}
    assert 0.90 <= again.walk().one_sided["g"] < 0.93


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

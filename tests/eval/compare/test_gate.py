"""The three states of the gate, and what it must not decide."""

import numpy as np
import pytest

from configs.schema import GateConfig
from eval.compare.compare import compare
from eval.compare.gate import non_inferiority
from eval.statistics.change import change_interval
from tests.eval.synthetic import pair, scored, sides

GATE = GateConfig()


def gate(*pairs, config: GateConfig = GATE, repeat=None):
    return compare(*sides(*pairs), config, base_repeat=repeat).gate


def states(decided) -> dict[str, str]:
    return {check.name: check.state for check in decided.checks}


@pytest.mark.parametrize(
    ("lower", "upper", "state"),
    [(-1.5, 0.5, "pass"), (-4, -2.5, "fail"), (-3, 0, "not_enough_evidence"), (-2, 1, "not_enough_evidence")],
)
def test_rule(lower: float, upper: float, state: str) -> None:
    assert non_inferiority(lower, upper, 2.0) == state


def test_passes_on_a_large_group_that_stayed() -> None:
    decided = gate(pair("ceval", 4000, 2500, 100, 100))
    assert (decided.verdict, decided.exit_code) == ("pass", 0)
    assert states(decided) == {"knowledge": "pass", "mean": "pass"}


def test_fails_on_a_large_group_that_fell() -> None:
    decided = gate(pair("ceval", 2000, 1200, 150, 10))
    assert (decided.verdict, decided.exit_code) == ("fail", 3)
    assert decided.reasons[0].key == "gate.group.fail"
    assert decided.reasons[0].values["name"] == "knowledge"


def test_not_enough_evidence_in_between() -> None:
    decided = gate(pair("ceval", 800, 500, 45, 35))
    assert (decided.verdict, decided.exit_code) == ("not_enough_evidence", 4)


def test_about_680_items_can_pass_two_points_at_ten_percent_discordance() -> None:
    mild = GateConfig(mean_margin_points=50)
    assert states(gate(pair("a", 800, 500, 40, 40), config=mild))["knowledge"] == "pass"
    few = GateConfig(mean_margin_points=50, min_items=1)
    assert states(gate(pair("a", 600, 400, 30, 30), config=few))["knowledge"] == "not_enough_evidence"


def test_no_flips_do_not_pass_a_small_set() -> None:
    """A Wald interval would have no width here and pass any number of samples."""
    anything = GateConfig(min_items=1, mean_margin_points=50)
    assert states(gate(pair("a", 100, 60, 0, 0), config=anything))["knowledge"] == "not_enough_evidence"
    assert states(gate(pair("a", 700, 400, 0, 0), config=anything))["knowledge"] == "pass"
    # 700 questions on 100 passages are worth 100 where nothing shows how they move together.
    shared = pair("a", 700, 400, 0, 0, passage_of=7)
    assert states(gate(shared, config=anything))["knowledge"] == "not_enough_evidence"


def test_small_groups_are_described_and_decide_nothing() -> None:
    decided = gate(pair("tiny", 150, 90, 1, 1))
    assert states(decided) == {"knowledge": "described"}
    assert decided.verdict == "not_enough_evidence"
    assert decided.reasons[0].key == "gate.nothing_gated"
    assert decided.reasons[0].values == {"min_items": 700, "largest": 150}


def test_a_proven_fall_in_a_small_group_is_no_ground_for_a_pass() -> None:
    large = pair("ceval", 4000, 2500, 60, 60)
    decided = gate(large, pair("math", 100, 80, 40, 0, group="reasoning"))
    assert states(decided) == {"knowledge": "pass", "reasoning": "described", "mean": "pass"}
    assert decided.verdict == "not_enough_evidence"
    assert [reason.key for reason in decided.reasons] == ["gate.group.described.fell"]


def test_pooling_makes_a_group_large_enough() -> None:
    assert states(gate(pair("a", 350, 200, 2, 2), pair("b", 350, 200, 2, 2)))["knowledge"] == "pass"


def test_the_mean_has_a_margin_of_its_own() -> None:
    decided = gate(pair("ceval", 4000, 2500, 90, 60))
    assert states(decided) == {"knowledge": "pass", "mean": "not_enough_evidence"}
    decided = gate(pair("ceval", 20000, 12500, 500, 240))
    assert states(decided) == {"knowledge": "pass", "mean": "fail"}
    assert decided.verdict == "fail"


@pytest.mark.parametrize(
    ("lost", "gained", "state"),
    [(20, 2, "fail"), (0, 30, "pass"), (5, 5, "not_enough_evidence"), (6, 4, "not_enough_evidence")],
)
def test_targets_must_not_fall(lost: int, gained: int, state: str) -> None:
    mine = pair("mine", 100, 50, lost, gained, role="target", group="mine")
    decided = gate(pair("ceval", 4000, 2500, 60, 60), mine)
    assert states(decided)["mine"] == state
    assert decided.verdict == state


@pytest.mark.parametrize(
    ("flips", "repeat", "state", "key"),
    [
        # A fall within what the base does to itself is none; beyond it, it is.
        ((40, 10), (60, 20), "not_enough_evidence", "noise"),
        ((40, 10), (1, 1), "fail", "fail"),
        # Nor is standing still; a rise that the interval proves needs no floor.
        ((10, 12), (60, 20), "not_enough_evidence", "noise"),
        ((10, 12), (3, 3), "pass", "pass"),
        ((0, 40), (60, 20), "pass", "pass"),
        ((12, 10), (3, 3), "not_enough_evidence", "not_enough_evidence"),
    ],
)
def test_a_target_is_judged_beside_the_noise_floor(flips, repeat, state: str, key: str) -> None:
    base, tuned = pair("mine", 1000, 500, *flips, role="target")
    _, again = pair("mine", 1000, 500, *repeat, role="target")
    check = gate((base, tuned), repeat={"mine": again}).checks[0]
    assert (check.state, check.reason.key) == (state, f"gate.target.{key}")


def test_without_retention_tasks_there_is_nothing_to_pass() -> None:
    decided = gate(pair("mine", 100, 50, 0, 30, role="target", group="mine"))
    assert decided.verdict == "not_enough_evidence"
    assert decided.reasons[0].key == "gate.no_retention"


def test_a_margin_under_the_noise_floor_passes_nothing_and_fails_only_what_fell_beyond_the_floor() -> None:
    base, fell = pair("ceval", 4000, 2500, 200, 60)
    _, rose = pair("ceval", 4000, 2500, 0, 300)
    _, collapsed = pair("ceval", 4000, 2500, 900, 60)
    _, noisy = pair("ceval", 4000, 2500, 300, 150)

    def gated(tuned, repeat):
        return compare({"ceval": base}, {"ceval": tuned}, GATE, base_repeat={"ceval": repeat}).gate

    for within in (fell, rose):
        decided = gated(within, noisy)
        assert states(decided) == {"knowledge": "not_enough_evidence", "mean": "not_enough_evidence"}
        assert [reason.key for reason in decided.reasons] == ["gate.noise", "gate.noise.mean"]
    assert gated(fell, base).verdict == "fail"
    beyond = gated(collapsed, noisy)
    assert states(beyond) == {"knowledge": "fail", "mean": "fail"}
    assert [reason.key for reason in beyond.reasons] == ["gate.group.fail", "gate.mean.fail"]


def test_a_base_that_guesses_hides_no_loss_elsewhere() -> None:
    """Its rise must not make up in the mean for what another task lost, nor count as kept."""
    guessed = pair("cmmlu", 2000, 520, 100, 300, chance=0.25)
    lost = pair("gsm8k", 1500, 750, 150, 30, group="reasoning")
    compared = compare(*sides(guessed, lost), GATE)
    assert states(compared.gate) == {"knowledge": "described", "reasoning": "fail", "mean": "fail"}
    assert compared.forgetting.backward_transfer_points == pytest.approx(-8.0)
    alone = compare(*sides(guessed), GATE)
    assert (alone.gate.verdict, alone.forgetting) == ("not_enough_evidence", None)
    assert [reason.key for reason in alone.gate.reasons] == ["gate.group.at_chance"]


def test_error_rates_are_those_it_promises() -> None:
    """A true loss of the margin passes about one time in 20; unchanged, 1,550 items pass four times in five."""
    rng = np.random.default_rng(0)

    def passing(n: int, p_lost: float, p_gained: float, passage: int = 1) -> float:
        passed = 0
        for _ in range(300):
            fate = np.repeat(rng.uniform(size=n // passage), passage)
            base = np.where(fate < p_lost, 1.0, np.where(fate < p_lost + p_gained, 0.0, fate > 0.6))
            tuned = base - (fate < p_lost) + ((fate >= p_lost) & (fate < p_lost + p_gained))
            passages = None if passage == 1 else np.arange(len(fate)) // passage
            bounds = change_interval(base, tuned, passages, confidence=0.90)
            passed += non_inferiority(100 * bounds.lower, 100 * bounds.upper, 2.0) == "pass"
        return passed / 300

    assert passing(1550, 0.05, 0.05) == pytest.approx(0.8, abs=0.06)
    assert passing(700, 0.06, 0.04) < 0.085
    assert passing(700, 0.02, 0.0) < 0.085
    assert passing(1600, 0.06, 0.04, passage=4) < 0.085


def test_margins_are_configurable() -> None:
    fell = pair("ceval", 2000, 1200, 150, 10)
    assert gate(fell, config=GateConfig(margin_points=10, mean_margin_points=10)).verdict == "pass"


def test_continuous_scores_are_gated_too() -> None:
    base = [0.5 + (i % 40) / 100 for i in range(1000)]
    tuned = [score - 0.05 - (i % 7) / 200 for i, score in enumerate(base)]
    meta = {"primary": "rougeL", "metrics": ["rougeL"], "type": "summary"}
    assert gate((scored("s", base, **meta), scored("s", tuned, **meta))).verdict == "fail"

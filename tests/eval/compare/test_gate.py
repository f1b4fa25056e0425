"""The three states of the gate, and what it must not decide."""

import math
from dataclasses import replace

import numpy as np
import pytest

from configs.recipe.schema import GateConfig
from eval.ask.results import TaskResult
from eval.compare.compare import compare
from eval.compare.comparison import Gate
from eval.compare.gate import Evidence, group_check, mean_bounds, mean_check, mean_margin, non_inferiority
from eval.statistics.change import change_interval
from tests.eval.synthetic import flipped, pair, scored, sides

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
    # One group is its own mean: a margin of half the size would gate it twice.
    assert states(decided) == {"knowledge": "pass"}


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
    assert states(decided) == {"knowledge": "pass", "reasoning": "described"}
    assert decided.verdict == "not_enough_evidence"
    assert [reason.key for reason in decided.reasons] == ["gate.group.described.fell"]


def test_pooling_makes_a_group_large_enough() -> None:
    assert states(gate(pair("a", 350, 200, 2, 2), pair("b", 350, 200, 2, 2)))["knowledge"] == "pass"


def test_the_mean_of_several_groups_has_a_margin_of_its_own() -> None:
    """Each group may lose 2 points, two together 2 / sqrt(2) on average: many small losses add up."""

    def fallen(lost: int) -> list[tuple[TaskResult, TaskResult]]:
        return [pair(f"t{k}", 8000, 5000, lost, 100, group=f"g{k}") for k in range(2)]

    decided = gate(*fallen(205))
    assert states(decided) == {"g0": "pass", "g1": "pass", "mean": "not_enough_evidence"}
    assert decided.checks[-1].margin_points == pytest.approx(2 / math.sqrt(2))
    several = [Evidence(f"g{k}", *flipped(40000, 25000, 1125, 500)) for k in range(2)]
    assert all(group_check(group, group.bounds(0.9), GATE).state == "pass" for group in several)
    assert mean_check(several, mean_bounds(several, 0.9), GATE).state == "fail"


def test_the_margin_of_the_mean_does_not_go_below_its_own() -> None:
    assert mean_margin(GATE, 1) == 2.0
    assert mean_margin(GATE, 3) == pytest.approx(1.1547, abs=1e-4)
    assert mean_margin(GATE, 9) == 1.0


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
        # A shift in one direction is counted; as many flips in both directions are what intervals hold already.
        ((40, 10), (60, 20), "not_enough_evidence", "shift"),
        ((40, 10), (40, 40), "fail", "fail"),
        ((10, 12), (60, 20), "not_enough_evidence", "shift"),
        ((10, 12), (40, 40), "pass", "pass"),
        ((0, 80), (60, 20), "pass", "pass"),
        ((12, 10), (3, 3), "not_enough_evidence", "not_enough_evidence"),
    ],
)
def test_a_target_is_judged_beside_a_shift_of_the_base(flips, repeat, state: str, key: str) -> None:
    base, tuned = pair("mine", 1000, 500, *flips, role="target")
    _, again = pair("mine", 1000, 500, *repeat, role="target")
    check = gate((base, tuned), repeat={"mine": again}).checks[0]
    assert (check.state, check.reason.key) == (state, f"gate.target.{key}")


def test_of_many_targets_one_may_seem_to_fall() -> None:
    """16 lost against 6 gained: p is 0.026 one-sided, too little for one of ten."""
    still = [pair(f"t{k}", 400, 200, 8, 9, role="target") for k in range(9)]
    fell = pair("fell", 400, 200, 16, 6, role="target")
    assert states(gate(fell))["fell"] == "fail"
    decided = gate(fell, *still)
    check = next(check for check in decided.checks if check.name == "fell")
    assert (check.state, check.reason.key) == ("not_enough_evidence", "gate.target.corrected")
    assert states(gate(pair("fell", 400, 200, 40, 6, role="target"), *still))["fell"] == "fail"


def test_without_retention_tasks_there_is_nothing_to_pass() -> None:
    decided = gate(pair("mine", 100, 50, 0, 30, role="target", group="mine"))
    assert decided.verdict == "not_enough_evidence"
    assert decided.reasons[0].key == "gate.no_retention"


def test_what_an_endpoint_answers_otherwise_each_time_is_counted_once() -> None:
    """Flips in both directions are in the interval of the difference; only a shift moves its bounds."""
    base, tuned = pair("ceval", 4000, 2500, 100, 100)
    noisy = pair("ceval", 4000, 2500, 200, 190)[1]
    shifted = pair("ceval", 4000, 2500, 200, 100)[1]

    def gated(tuned: TaskResult, repeat: TaskResult) -> Gate:
        return compare({"ceval": base}, {"ceval": tuned}, GATE, base_repeat={"ceval": repeat}).gate

    assert gated(tuned, noisy).verdict == "pass"
    moved = gated(tuned, shifted)
    assert (moved.verdict, moved.reasons[0].key) == ("not_enough_evidence", "gate.shift")
    assert moved.checks[0].shift_points == pytest.approx(2.5)
    fell = pair("ceval", 4000, 2500, 260, 60)[1]
    assert gated(fell, noisy).verdict == "fail"
    assert gated(fell, shifted).verdict == "not_enough_evidence"
    assert gated(pair("ceval", 4000, 2500, 400, 60)[1], shifted).verdict == "fail"


def test_a_base_that_guesses_hides_no_loss_elsewhere() -> None:
    """Its rise must not make up in the mean for what another task lost, nor count as kept."""
    guessed = pair("cmmlu", 2000, 520, 100, 300, chance=0.25)
    lost = pair("gsm8k", 1500, 750, 150, 30, group="reasoning")
    compared = compare(*sides(guessed, lost), GATE)
    assert states(compared.gate) == {"knowledge": "described", "reasoning": "fail"}
    assert compared.forgetting.backward_transfer_points == pytest.approx(-8.0)
    alone = compare(*sides(guessed), GATE)
    assert (alone.gate.verdict, alone.forgetting) == ("not_enough_evidence", None)
    assert [reason.key for reason in alone.gate.reasons] == ["gate.group.at_chance"]


@pytest.mark.parametrize(("right", "chance", "state"), [(12, 0.0, "described"), (17, 0.0, "pass"), (525, 0.5, "pass")])
def test_a_base_that_has_no_more_to_lose_than_it_may_passes_nobody(right: int, chance: float, state: str) -> None:
    base, tuned = pair("gsm8k", 800, right, 0, 0, chance=chance)
    assert states(compare({"gsm8k": base}, {"gsm8k": tuned}, GATE).gate) == {"knowledge": state}


def test_a_large_group_on_one_passage_is_not_said_to_be_at_chance() -> None:
    decided = gate(pair("squad", 800, 700, 10, 10, passage_of=800))
    assert states(decided) == {"knowledge": "described"}
    assert [reason.key for reason in decided.reasons] == ["gate.group.one_unit"]


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


def test_a_pass_names_what_fell_within_the_margin() -> None:
    decided = gate(pair("ceval", 8000, 5000, 160, 80), pair("math", 4000, 2500, 60, 60, group="reasoning"))
    assert decided.verdict == "pass"
    (fell,) = decided.reservations
    assert (fell.key, fell.values["task"], fell.values["delta"]) == ("reservation.fell", "ceval", -1.0)
    assert gate(pair("ceval", 8000, 5000, 80, 80)).reservations == ()


def test_a_pass_names_thinking_left_in_answers() -> None:
    base, tuned = pair("ceval", 4000, 2500, 60, 60)
    leaking = replace(tuned, samples=[replace(tuned.samples[0], flags=["thinking_leak"]), *tuned.samples[1:]])
    decided = gate((base, leaking))
    assert (decided.verdict, decided.exit_code) == ("pass", 0)
    assert [(one.key, one.values["after"]) for one in decided.reservations] == [("reservation.leaks", 1)]


def test_a_pass_names_a_task_that_the_base_did_not_answer() -> None:
    """Beside others of its group; a base that answers nothing at all is no baseline."""
    base, tuned = pair("math", 100, 0, 0, 90)
    silent = replace(base, samples=[replace(sample, answer="", finish_reason="stop") for sample in base.samples])
    decided = gate(pair("ceval", 4000, 2500, 60, 60), (silent, tuned))
    assert decided.verdict == "pass"
    assert [(one.key, one.values["task"]) for one in decided.reservations] == [("reservation.silent", "math")]


def test_an_open_verdict_says_what_decides_it() -> None:
    decided = gate(pair("ceval", 800, 500, 80, 80))
    assert decided.remedy is not None
    assert decided.remedy.key == "remedy.items"
    # 20 % of the answers changed: about 5,400 items pass an unchanged model with 95 %.
    assert decided.remedy.values["needed"] == pytest.approx(5411, rel=0.03)
    assert gate(pair("tiny", 150, 90, 1, 1)).remedy.key == "remedy.suite"
    assert gate(pair("ceval", 8000, 5000, 500, 340)).remedy.key == "remedy.near"
    held = pair("mine", 100, 50, 5, 5, role="target")
    assert gate(pair("ceval", 4000, 2500, 60, 60), held).remedy.key == "remedy.target"
    assert gate(pair("ceval", 4000, 2500, 60, 60)).remedy is None


def test_margins_are_configurable() -> None:
    fell = pair("ceval", 2000, 1200, 150, 10)
    assert gate(fell, config=GateConfig(margin_points=10, mean_margin_points=10)).verdict == "pass"


def test_continuous_scores_are_gated_too() -> None:
    base = [0.5 + (i % 40) / 100 for i in range(1000)]
    tuned = [score - 0.05 - (i % 7) / 200 for i, score in enumerate(base)]
    meta = {"primary": "rougeL", "metrics": ["rougeL"], "type": "summary"}
    assert gate((scored("s", base, **meta), scored("s", tuned, **meta))).verdict == "fail"

"""The choice of a scale on curves whose answer is known."""

from __future__ import annotations

import pytest

from configs.handover.scale import MeasuredScale, ScaleFacts
from eval.compare.scales import MOST_DRIFT, MOST_SHORT_SHARE, choose, compared_lengths

HELDOUT_TOKENS = [4, 6]
GENERAL_TOKENS = [100] * 20
BASE = MeasuredScale(scale=0, heldout=[-10.0, -20.0], chosen=[1, 1], general=[-50.0] * 20, early=[False] * 20)
Curve = dict[float, tuple[float, float, int]]
"""Scale to gain in nats, drift in nats a token, and answers of 20 that suddenly ended early."""


def chosen(curve: Curve, base: MeasuredScale = BASE, right: dict[float, list[int]] | None = None) -> ScaleFacts:
    measured = [
        MeasuredScale(
            scale=scale,
            heldout=[base.heldout[0] + gain / 2, base.heldout[1] + gain / 2],
            general=[value - drift * 100 for value in base.general],
            early=[number < early for number in range(20)],
            chosen=right[scale] if right else base.chosen,
        )
        for scale, (gain, drift, early) in curve.items()
    ]
    return choose(measured, base, HELDOUT_TOKENS, GENERAL_TOKENS)


GOOD: Curve = {0.5: (8.0, 0.004, 0), 0.7: (9.6, 0.008, 0), 0.85: (9.9, 0.012, 0), 1.0: (10.0, 0.016, 0)}


def test_the_whole_adapter_where_it_keeps_every_limit() -> None:
    facts = chosen(GOOD)
    assert (facts.scale, facts.satisfied) == (1.0, True)
    assert [point.scale for point in facts.points] == [0.5, 0.7, 0.85, 1.0]
    assert [point.beyond for point in facts.points] == [["gain"], [], [], []]
    whole = facts.points[-1]
    assert whole.gain == pytest.approx(1.0)  # 10 nats over 10 tokens
    assert (whole.gain_share, whole.drift, whole.short_share) == (1, pytest.approx(0.016), 0)


def test_the_largest_scale_that_drifts_no_further_than_allowed() -> None:
    facts = chosen(GOOD | {0.85: (9.9, MOST_DRIFT + 0.001, 0), 1.0: (10.0, 2 * MOST_DRIFT, 0)})
    assert (facts.scale, facts.satisfied) == (0.7, True)
    assert facts.points[2].beyond == ["drift"]


def test_the_largest_scale_whose_answers_do_not_suddenly_end() -> None:
    most = int(20 * MOST_SHORT_SHARE)
    facts = chosen(GOOD | {0.85: (9.9, 0.012, most), 1.0: (10.0, 0.016, most + 1)})
    assert facts.scale == 0.85
    assert facts.points[-1].beyond == ["short"]
    assert facts.points[-1].short_share == pytest.approx((most + 1) / 20)


def test_only_what_ends_earlier_than_the_bases_own_answers_counts() -> None:
    hasty = BASE.model_copy(update={"early": [number < 6 for number in range(20)]})
    facts = chosen(GOOD | {1.0: (10.0, 0.016, 6)}, hasty)
    assert facts.base_short_share == pytest.approx(0.3)
    assert facts.points[-1].short_share == 0
    assert facts.scale == 1.0


def test_without_a_scale_that_keeps_all_the_least_harm_at_which_the_gain_is_kept() -> None:
    facts = chosen({0.5: (8.0, 0.01, 0), 0.7: (9.6, 0.2, 5), 0.85: (9.9, 0.3, 6), 1.0: (10.0, 0.4, 7)})
    assert (facts.scale, facts.satisfied, facts.learned) == (0.7, False, True)


def test_the_gain_is_measured_against_the_best_scale_where_the_whole_adapter_overshoots() -> None:
    facts = chosen({0.5: (10.0, 0.01, 0), 0.7: (9.8, 0.012, 0), 1.0: (7.0, 0.016, 0)})
    assert facts.scale == 0.7
    assert facts.points[-1].beyond == ["gain"]


def test_likelihood_alone_is_no_gain_where_the_right_token_does_not_come_first() -> None:
    right = {0.5: [1, 1], 0.7: [3, 4], 0.85: [4, 5], 1.0: [4, 6]}  # of 10 tokens
    facts = chosen(GOOD | {1.0: (10.0, 2 * MOST_DRIFT, 0)}, right=right)
    assert [point.accuracy_share for point in facts.points] == [0, 0.625, 0.875, 1]
    assert [point.kept for point in facts.points] == [0, 0.625, 0.875, 1]
    assert (facts.scale, facts.satisfied) == (1.0, False)  # the only one that keeps the gain
    assert (facts.base_accuracy, facts.points[-1].accuracy) == (0.2, 1.0)


def test_where_no_scale_keeps_both_gains_the_one_that_keeps_most() -> None:
    right = {0.5: [4, 6], 0.7: [4, 5], 0.85: [2, 3], 1.0: [2, 2]}
    facts = chosen({**GOOD, 0.7: (9.0, 0.3, 0)}, right=right)
    assert [point.kept for point in facts.points] == pytest.approx([0.8, 0.875, 0.375, 0.25])
    assert (facts.scale, facts.satisfied, facts.keeps_gain, facts.learned) == (0.7, False, False, True)


def test_a_gain_in_accuracy_that_is_noise_is_left_out() -> None:
    right = {scale: [1, 1] for scale in GOOD} | {0.5: [0, 1]}
    facts = chosen(GOOD, right=right)
    assert [point.accuracy_share for point in facts.points] == [1, 1, 1, 1]


def test_where_nothing_was_learned_nothing_is_weighed() -> None:
    facts = chosen({0.5: (-1.0, 0.01, 0), 1.0: (-4.0, 0.02, 0)})
    assert (facts.scale, facts.satisfied, facts.learned) == (1.0, False, False)
    assert [point.gain_share for point in facts.points] == [0, 0]


def test_lengths_are_compared_over_the_longer_half_and_a_quarter_is_short() -> None:
    assert compared_lengths([3, 400, 80, 9, 120]) == {1: 100, 2: 20, 4: 30}
    assert compared_lengths([2]) == {0: 1}

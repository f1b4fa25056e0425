"""Sizes of recorded steps: every step fits, no other choice is cheaper, and what does not pay is not recorded."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from trainer.plan.sizes import GRAIN, PassSize, choose_sizes, size_for


def passes_of(*totals: int) -> Counter[PassSize]:
    return Counter(PassSize(total, total // 2) for total in totals)


def test_every_pass_fits_into_a_size() -> None:
    draw = random.Random(0)
    steps = passes_of(*(draw.randint(40, 2000) for _ in range(300)))
    sizes = choose_sizes(steps)
    assert list(sizes) == sorted(sizes)
    for step in steps:
        size = size_for(step, sizes)
        assert size is not None
        assert size.tokens >= step.tokens
        assert size.trained >= step.trained
        assert size.tokens % GRAIN == size.trained % GRAIN == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_other_choice_of_sizes_is_cheaper(seed: int) -> None:
    draw = random.Random(seed)
    steps = passes_of(*(draw.randint(10, 900) for _ in range(draw.randint(20, 200))))
    possible = sorted({-(-step.tokens // GRAIN) * GRAIN for step in steps})

    def cost(tokens: tuple[int, ...], recording: float = 8.0) -> float:
        return sum(min(t for t in tokens if t >= step.tokens) for step in steps.elements()) + recording * sum(tokens)

    every = itertools.chain.from_iterable(itertools.combinations(possible, n) for n in range(1, len(possible) + 1))
    best = min(cost(chosen) for chosen in every if chosen[-1] == possible[-1])
    assert cost(tuple(size.tokens for size in choose_sizes(steps))) == best


def test_long_runs_take_more_sizes_than_short_ones() -> None:
    totals = [300] * 4 + [600] * 4 + [1000] * 4
    few, many = choose_sizes(passes_of(*totals)), choose_sizes(passes_of(*totals * 20))
    assert len(few) < len(many) == 3


def test_a_run_too_short_to_pay_for_a_recording_records_nothing() -> None:
    assert choose_sizes(passes_of(500, 500)) == ()
    assert choose_sizes(passes_of(*[500] * 50)) != ()


def test_what_was_not_foreseen_fits_nowhere() -> None:
    sizes = choose_sizes(passes_of(*[500] * 50))
    assert size_for(PassSize(600, 10), sizes) is None
    assert size_for(PassSize(100, 400), sizes) is None


def test_the_largest_size_takes_every_pass() -> None:
    # General rows are short and mostly trained, questions on passages long and hardly trained.
    sizes = choose_sizes({PassSize(600, 500): 200, PassSize(2800, 60): 200})
    assert [size.tokens for size in sizes] == [640, 2816]
    assert sizes[-1].holds(PassSize(600, 500))

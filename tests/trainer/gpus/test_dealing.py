"""Every row of a step goes to one process, however the rows divide, and the processes have about as much to do."""

from __future__ import annotations

import random

import pytest

from trainer.gpus.dealing import DealtBatches, deal

DRAWN = random.Random(7)
LENGTHS = [DRAWN.randint(20, 400) for _ in range(64)]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("rows", "ranks", "passes", "micro_batch"), [(8, 2, 1, 4), (7, 2, 2, 2), (3, 8, 1, 1), (64, 3, 11, 2), (1, 2, 1, 1)]
)
def test_every_row_goes_to_one_process(rows: int, ranks: int, passes: int, micro_batch: int, padded: bool) -> None:
    dealt = deal(LENGTHS[:rows], ranks, passes, micro_batch, padded=padded)
    assert sorted(row for rank in dealt for each in rank for row in each) == list(range(rows))
    assert len(dealt) == ranks
    for rank in dealt:
        assert len(rank) == passes
        assert max(map(len, rank)) <= micro_batch
        empty = [not each for each in rank]
        assert empty == sorted(empty), "a pass without rows comes last"


def test_tokens_are_balanced() -> None:
    dealt = deal(LENGTHS, ranks=4, passes=2, micro_batch=8, padded=False)
    tokens = [sum(LENGTHS[row] for each in rank for row in each) for rank in dealt]
    assert max(tokens) < 1.02 * min(tokens)
    as_they_come = [sum(LENGTHS[i : i + 16]) for i in range(0, 64, 16)]
    assert max(as_they_come) > 1.1 * min(as_they_come)


def test_rows_of_like_length_share_a_padded_pass() -> None:
    dealt = deal(LENGTHS, ranks=2, passes=8, micro_batch=4, padded=True)
    padded = sum(len(each) * max(LENGTHS[row] for row in each) for rank in dealt for each in rank)
    assert padded < 1.1 * sum(LENGTHS)


def test_more_rows_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(ValueError, match="5 rows do not fit into 2 x 1 x 2"):
        deal([10] * 5, ranks=2, passes=1, micro_batch=2, padded=False)


@pytest.mark.parametrize(
    ("rows", "ranks", "rows_per_step", "passes", "micro_batch"), [(23, 2, 8, 2, 2), (9, 3, 7, 3, 1)]
)
def test_an_epoch_has_every_row_once_and_as_many_passes_on_every_process(
    rows: int, ranks: int, rows_per_step: int, passes: int, micro_batch: int
) -> None:
    order = random.Random(1).sample(range(rows), rows)

    def of(rank: int) -> DealtBatches:
        lengths = LENGTHS[:rows]
        return DealtBatches(order, lengths, rank, ranks, rows_per_step, passes, micro_batch, padded=False)

    each = [list(of(rank)) for rank in range(ranks)]
    assert sorted(row for batches in each for batch in batches for row in batch) == list(range(rows))
    assert {len(batches) for batches in each} == {len(of(0))}
    # The rows of a step are those that one process would take.
    for number, step in enumerate(of(0).steps()):
        taken = sorted(row for rank in step for batch in rank for row in batch)
        assert taken == sorted(order[number * rows_per_step : (number + 1) * rows_per_step])

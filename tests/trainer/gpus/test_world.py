"""Every process takes a GPU of its own, whoever started it."""

from __future__ import annotations

import os

import pytest

from configs.errors import TuneserveError
from trainer.gpus.world import take_card


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        # Set first, so that what `take_card` leaves is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "local_rank", "taken"),
    [(None, 0, "0"), (None, 3, "3"), ("4,6", 0, "4"), ("4, 6", 1, "6"), ("GPU-a,GPU-b", 1, "GPU-b"), ("5", 2, "5")],
)
def test_a_process_is_left_one_card(
    given: str | None, local_rank: int, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    take_card(local_rank)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == taken


def test_cards_are_counted_as_the_driver_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    take_card(1)
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    # What the user numbers is meant as CUDA numbers it.
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    take_card(1)
    assert "CUDA_DEVICE_ORDER" not in os.environ


def test_more_processes_than_cards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(TuneserveError, match="process 2 of this machine has no GPU"):
        take_card(2)

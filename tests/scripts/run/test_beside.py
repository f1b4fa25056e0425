"""Where a GPU is left over the base is asked while another one trains; what goes wrong there is said."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from configs.errors import TuneserveError
from configs.machine.gpus import GPUS, Card
from configs.recipe.load import validate
from scripts.run import beside
from scripts.run.beside import cards_for_base, meanwhile, training_cards


def cards(*used_gb: float) -> list[Card]:
    device = GPUS["h100-80gb"]
    return [Card(i, device.name, device, int((device.memory_gb - used) * 1e9)) for i, used in enumerate(used_gb)]


def kept(found: list[Card], others: int | None = 1, **serve: Any) -> list[int]:
    recipe = {"name": "r", "model": "m", "data": "rows.jsonl", "serve": serve}
    return [card.index for card in cards_for_base(validate(recipe, Path("r.yaml")), others, found)]


def test_the_base_gets_cards_of_its_own() -> None:
    assert kept(cards(0, 0)) == [1]
    assert kept(cards(60, 0, 0)) == [2]
    assert kept(cards(0, 0, 0, 0), 2, tensor_parallel_size=2) == [2, 3]
    assert kept(cards(0, 0, 0), 1, args=["--tensor-parallel-size=2"]) == [1, 2]


def test_one_after_the_other_where_there_are_too_few_free_ones() -> None:
    assert kept([]) == []
    assert kept(cards(0)) == []
    assert kept(cards(0, 0), 2) == []
    assert kept(cards(0, 60)) == []
    assert kept(cards(0, 50), gpu_memory_utilization=0.3) == [1]
    assert kept(cards(0, 0), 1, args=["-tp", "2"]) == []


def test_where_ray_finds_the_cards_none_is_kept() -> None:
    assert kept(cards(0, 0, 0), 1, args=["--distributed-executor-backend", "ray"]) == []
    assert kept(cards(0, 0, 0), None) == []


@pytest.mark.parametrize(
    ("used", "gpus", "kept", "trains", "said"),
    [
        ((0,), 1, (), None, None),
        ((60, 60), 2, (), None, None),
        ((0, 0), 1, (), "0", None),
        ((60, 0), 1, (), "1", "GPU 0 does not train"),
        ((60, 0, 2, 0), 2, (), "1,2", "GPU 0 does not train"),
        ((0, 70, 0), 2, (), "0,2", "GPU 1 does not train"),
        # The base's server is up on GPU 2; the one that is taken all the same is not its.
        ((60, 0, 70), 2, (2,), "1,0", None),
    ],
)
def test_training_takes_free_gpus_where_there_are_more_than_it_needs(
    used: tuple[float, ...],
    gpus: int,
    kept: tuple[int, ...],
    trains: str | None,
    said: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(beside, "visible_cards", lambda: cards(*used))
    recipe = validate({"name": "r", "model": "m", "data": "rows.jsonl", "train": {"num_gpus": gpus}}, Path("r.yaml"))
    empty = cards(*[0] * len(used))
    found = training_cards(recipe, [empty[index] for index in kept])
    assert found.get("CUDA_VISIBLE_DEVICES") == trains
    out = capsys.readouterr().out
    assert said in out if said else out == ""


def test_both_run_at_once_and_the_block_waits(capsys: pytest.CaptureFixture[str]) -> None:
    met, done = threading.Barrier(2, timeout=5), []

    def work() -> None:
        met.wait()
        met.wait()
        done.append("asked")

    with meanwhile(work, "the base's answers"):
        met.wait()
        assert done == []
        threading.Timer(0.2, met.wait).start()
    assert done == ["asked"]
    assert "waiting for the base's answers" in capsys.readouterr().out


def test_the_block_can_wait_for_what_it_needs() -> None:
    made: list[str] = []
    slow = threading.Event()

    def work() -> None:
        slow.wait(5)
        made.append("answers")

    with meanwhile(work, "the base's answers") as wait:
        assert made == []
        slow.set()
        wait()
        assert made == ["answers"]

    def fail() -> None:
        raise TuneserveError("the server did not start", "look at the log")

    def needs_it() -> None:
        with meanwhile(fail, "the base's answers") as wait:
            wait()
            made.append("went on without")

    with pytest.raises(TuneserveError, match="the server did not start"):
        needs_it()
    assert made == ["answers"]


def test_what_fails_beside_is_raised_when_training_is_done() -> None:
    def fail() -> None:
        raise TuneserveError("the server did not start", "look at the log")

    trained = []
    with pytest.raises(TuneserveError, match="the server did not start"), meanwhile(fail, "the base's answers"):
        trained.append(True)
    assert trained == [True]


def test_a_training_that_fails_does_not_wait() -> None:
    never = threading.Event()
    with pytest.raises(SystemExit), meanwhile(lambda: (never.wait(60), None)[1], "the base's answers"):
        raise SystemExit(1)
    never.set()

"""Work in a process of its own: its answer comes back, and whatever ends it ends nothing else."""

from __future__ import annotations

import os
import re
import signal
import time

import psutil
import pytest

from configs.process.limits import OutOfTime, apart


def forever() -> None:
    while True:
        pass


def test_an_answer_and_an_error_come_back() -> None:
    assert apart(lambda: {"one": [1, "二"]}, 5, 1 << 28) == {"one": [1, "二"]}
    with pytest.raises(ValueError, match="no number"):
        apart(lambda: int("no number"), 5, 1 << 28)


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (forever, OutOfTime),
        (lambda: re.match(r"(a|aa)+$", "a" * 60 + "b"), OutOfTime),
        (lambda: [0] * 10**10, MemoryError),
        (lambda: "x" * 10**10, MemoryError),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), MemoryError),
        (lambda: os._exit(0), MemoryError),
    ],
    ids=["a loop", "a pattern", "a list", "a text", "killed", "gone"],
)
def test_what_never_ends_or_takes_too_much_ends_alone(work, error: type[BaseException]) -> None:
    began, before = time.monotonic(), psutil.Process().children()
    with pytest.raises(error):
        apart(work, 0.3, 1 << 28)
    assert time.monotonic() - began < 20
    assert psutil.Process().children() == before

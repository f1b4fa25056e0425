"""Of several processes that fail, the one that failed first is named, with what it said; not those that missed it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from configs.errors import TuneserveError
from trainer.gpus.job import Failure
from trainer.gpus.launch import error_of

OUT_OF_MEMORY = 75


def ended(rank: int, code: int, second: int = 0) -> ProcessFailure:
    failure = ProcessFailure(local_rank=rank, pid=100 + rank, exitcode=code, error_file="none")
    failure.timestamp = second
    return failure


def say(folder: Path, rank: int, message: str, code: int = 1, *, of_another: bool = False) -> None:
    failure = Failure(rank=rank, message=message, next_step="mend it", exit_code=code, of_another=of_another)
    (folder / f"failure-{rank}.json").write_text(failure.model_dump_json(), encoding="utf-8")


def test_what_a_process_said_is_said_once_with_its_number(tmp_path: Path) -> None:
    say(tmp_path, 1, "logs/train.jsonl: the disk is full", code=2)
    say(tmp_path, 0, "process 0 of 2 waited in vain for the others", of_another=True)
    error = error_of(tmp_path, [ended(0, 1), ended(1, 2)], 2, OUT_OF_MEMORY)
    assert isinstance(error, TuneserveError)
    assert (error.message, error.next_step) == ("GPU 1 of 2: logs/train.jsonl: the disk is full", "mend it")
    assert error.exit_code == 2


def test_a_killed_process_is_named_although_the_other_one_speaks(tmp_path: Path) -> None:
    say(tmp_path, 0, "process 0 of 2 waited in vain for the others", of_another=True)
    error = error_of(tmp_path, [ended(0, 1), ended(1, -signal.SIGKILL)], 2, OUT_OF_MEMORY)
    assert "the process of GPU 1 of 2 was killed (SIGKILL), and the others were ended" in str(error)
    # The agent kills what does not end; the first one counts.
    killed = [ended(2, -signal.SIGKILL, 1), ended(0, -signal.SIGKILL, 9), ended(1, -signal.SIGTERM, 9)]
    assert "GPU 2 of 3" in str(error_of(tmp_path / "none", killed, 3, OUT_OF_MEMORY))


def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    error = error_of(tmp_path, [ended(1, -signal.SIGSEGV), ended(0, -signal.SIGTERM)], 2, OUT_OF_MEMORY)
    assert "GPU 1 of 2 ended by SIGSEGV" in str(error)
    assert "logs/tune*.log" in str(error)


def test_memory_that_runs_out_on_one_gpu_is_what_the_trainer_backs_off_from(tmp_path: Path) -> None:
    say(tmp_path, 1, "OutOfMemoryError: CUDA out of memory", code=OUT_OF_MEMORY)
    with pytest.raises(torch.OutOfMemoryError, match="on GPU 1 of 2"):
        raise error_of(tmp_path, [ended(1, OUT_OF_MEMORY), ended(0, -signal.SIGTERM)], 2, OUT_OF_MEMORY)

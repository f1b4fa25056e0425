"""One training, in this process: alone, or as one of several, which `python -m trainer.sft.rank` is.

JOB is a folder of the process that started the others: `job.json` in it says what is to be done; `outcome.json` is what
rank 0 hands back, and `failure-RANK.json` what a process leaves that fails.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path

from configs.cache.folder import cache_root
from configs.disk.files import only_a_file, write_atomically
from configs.errors import EXIT_FAILED, TuneserveError, first_line
from configs.process.child import Ended, die_with, ending_in_order
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import console
from trainer import environment
from trainer.data.prepare import read_rows
from trainer.data.selfmade import training_rows
from trainer.gpus.job import Failure, Job, Outcome
from trainer.gpus.world import OthersGone, World, join
from trainer.sft.checkpoints import full_disk_said
from trainer.sft.trackers import tracked
from trainer.terminal import chatter_to

OUT_OF_MEMORY = 75
"""Exit code of a process whose GPU has run out of memory: all begin again, with less."""
ENDS_WITHIN_S = 8.0
"""A process that waits for a GPU cannot hear a signal; so long after one it is gone all the same."""


def train(run: RunDir, config: RunConfig, job: Job, world: World | None) -> Outcome:
    """Trains, saves adapter and proof rows; of several processes rank 0 does, and shows and writes for all.

    Raises:
        TuneserveError: the first batch is not what the data are, the disk is full, a tracker does not start.
        torch.OutOfMemoryError: the GPU's memory ran out.
    """
    from trainer.sft.loop import TrainingRun  # imports unsloth, so the environment stands first

    rows, heldout, facts = training_rows(run, config), read_rows(run.data / "heldout"), run.prepared()
    facts = facts.model_copy(update={"longest_row": max(facts.longest_row, *rows["length"].to_pylist())})
    with ExitStack() as around:
        if world is None or world.rank == 0:
            around.enter_context(full_disk_said(run))
            resumed = job.checkpoint is not None
            around.enter_context(tracked(config.train.report_to, run, config.name, resumed=resumed))
        training = TrainingRun(run, config, job.plan, facts, rows, heldout, world)
        return Outcome(figures=training.go(job.checkpoint), unsloth=training.did)


def lead(run: RunDir, config: RunConfig, job: Job) -> Outcome:
    """Trains as rank 0 of processes that were started from outside, which wait for what is to be done.

    Raises:
        TuneserveError: the memory of a GPU ran out, which ends all of them.
    """
    import torch

    environment.settle(cache_root())
    world = join()
    world.share(job.model_dump(mode="json"))
    try:
        return train_as_one_of_several(run, config, job, world)
    except torch.OutOfMemoryError as error:
        raise TuneserveError(
            f"the GPU ran out of memory with {job.plan.micro_batch} rows a forward pass ({first_line(error)})",
            "start without torchrun, with train.num_gpus, which tries again with fewer; or set train.plan=manual and a "
            "lower train.micro_batch",
        ) from None


def dismiss() -> None:
    """Tells the others that there is nothing to train."""
    join().share(None)


def follow(folder: Path) -> None:
    """Trains as one of the others of processes that were started from outside: waits for what rank 0 has planned.

    Args:
        folder: the run directory, which rank 0 makes.
    """
    environment.settle(cache_root())
    world = join()
    given = world.share(None)
    if given is None:
        return
    run = RunDir.open(folder)
    with chatter_to(run.logs / f"tune-{world.rank}.log"):
        train_as_one_of_several(run, run.read().config, Job.model_validate(given), world)


def train_as_one_of_several(run: RunDir, config: RunConfig, job: Job, world: World) -> Outcome:
    """The same for one of several processes: each compiles what Unsloth generates into a folder of its own."""
    environment.settle(cache_root())
    if world.rank:
        console.quiet = True
        os.environ["UNSLOTH_COMPILE_LOCATION"] += f"_{world.rank}"
    return train(run, config, job, world)


def main(arguments: list[str] | None = None) -> int:
    """Trains as one of several and returns the exit code; why it failed is left in JOB."""
    parser = argparse.ArgumentParser(prog="python -m trainer.sft.rank", description=__doc__)
    parser.add_argument("run", type=Path, help="the run directory")
    parser.add_argument("job", type=Path, help="the folder of the job")
    parser.add_argument("port", type=int, help="where the processes meet")
    parser.add_argument("parent", type=int, help="the process that started this one, which may have ended by now")
    options = parser.parse_args(arguments)
    die_with(options.parent)
    rank = int(os.environ["RANK"])
    run = RunDir.open(options.run)
    log = run.logs / ("tune.log" if rank == 0 else f"tune-{rank}.log")
    end_for_sure()
    try:
        with ending_in_order(signal.SIGINT, signal.SIGTERM, signal.SIGHUP), chatter_to(log):
            environment.settle(cache_root())
            job = Job.model_validate_json((options.job / "job.json").read_text(encoding="utf-8"))
            world = join(options.port)
            outcome = train_as_one_of_several(run, run.read().config, job, world)
            if rank == 0:
                write_atomically(options.job / "outcome.json", outcome.model_dump_json())
    except KeyboardInterrupt as stop:
        return 128 + (stop.number if isinstance(stop, Ended) else signal.SIGINT)
    except TuneserveError as error:
        failure = Failure(
            rank=rank, message=error.message, next_step=error.next_step, exit_code=error.exit_code,
            of_another=isinstance(error, OthersGone),
        )  # fmt: skip
        return _failed(options.job, failure)
    except BaseException as error:  # noqa: BLE001 - the process that started this one says it, and raises it
        return _failed(options.job, _unforeseen(rank, error, log))
    return 0


def end_for_sure(within_s: float = ENDS_WITHIN_S) -> None:
    """Ends this process `within_s` seconds after a signal that asks for it, whatever it is waiting for."""
    import threading

    read, write = os.pipe()
    os.set_blocking(write, False)
    # Written to by Python's own handler in C, however long the main thread does not come back to Python.
    signal.set_wakeup_fd(write)

    def wait() -> None:
        number = os.read(read, 1)[0]
        threading.Event().wait(within_s)
        os._exit(128 + number)

    threading.Thread(target=wait, daemon=True).start()


def _unforeseen(rank: int, error: BaseException, log: Path) -> Failure:
    with open(log, "a", encoding="utf-8", opener=only_a_file) as out:
        traceback.print_exception(error, file=out)
    import torch

    out_of_memory = isinstance(error, torch.OutOfMemoryError)
    return Failure(
        rank=rank,
        message=f"{type(error).__name__}: {first_line(error)}",
        next_step=f"see the end of {log}",
        exit_code=OUT_OF_MEMORY if out_of_memory else EXIT_FAILED,
    )


def _failed(job: Path, failure: Failure) -> int:
    write_atomically(job / f"failure-{failure.rank}.json", failure.model_dump_json())
    return failure.exit_code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the training stack can hold the interpreter for seconds after the work is done.
    os._exit(code)

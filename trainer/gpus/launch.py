"""One process a GPU on this machine, started and watched by torchrun's own agent; one that dies ends all.

Nothing of it can be reached from another machine: what the agent keeps are pickles, which lie in a file of this user's,
and what the processes tell each other goes through sockets of the loopback address. torchrun's own store listens on
every address, and NCCL on one of the network; neither asks who is there.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from configs.disk.files import write_atomically
from configs.disk.temporary import temporary_folder
from configs.errors import TuneserveError
from configs.run.rundir import RunDir
from trainer.gpus.job import Failure, Job, Outcome
from trainer.terminal import as_before

MODULE = "trainer.sft.rank"
"""What every process runs."""
ENDS_WITHIN_S = 10
"""Processes that are asked to end have so many seconds."""


def launch(run: RunDir, job: Job, out_of_memory: int) -> Outcome:
    """Trains on `job.plan.gpus` GPUs and returns what rank 0 hands back.

    Args:
        run: the run directory, whose lock this process holds.
        job: what is to be done.
        out_of_memory: exit code by which a process says that its GPU has run out of memory.

    Raises:
        TuneserveError: a process failed, with what it said, or was killed.
        torch.OutOfMemoryError: the memory of a GPU ran out.
    """
    with temporary_folder() as folder:
        write_atomically(folder / "job.json", job.model_dump_json())
        meeting = _meeting()
        module = [MODULE, str(run.path), str(folder), str(meeting.port), str(os.getpid())]
        failed = _start(job.plan.gpus, module, folder / "agent")
        if failed:
            raise error_of(folder, failed, job.plan.gpus, out_of_memory)
        return Outcome.model_validate_json((folder / "outcome.json").read_text(encoding="utf-8"))


def _start(count: int, module: list[str], kept: Path) -> list[ProcessFailure]:
    """Runs `python -m MODULE...` in so many processes until all have ended; those that failed, the first one first.

    The agent keeps its state in the file `kept`, and what else it writes beside that.
    """
    # Else torch starts as many threads in each as there are cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (psutil.cpu_count(logical=False) or 1) // count)))
    for name in ("torch.distributed.elastic", "torch.distributed.launcher"):
        for each in [name, *(n for n in logging.root.manager.loggerDict if n.startswith(f"{name}."))]:
            # What it would say of a failure is said here, once.
            logging.getLogger(each).setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=f"tuneserve-{os.getpid()}", max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint=str(kept), rdzv_configs={"store_type": "file"},
        logs_specs=DefaultLogsSpecs(log_dir=str(kept.parent)),
        shutdown_timeout=ENDS_WITHIN_S,
        # Ours stay in place for the others: they raise, and the agent ends the processes on the way.
        signals_to_handle="SIGQUIT",
    )  # fmt: skip
    before = signal.getsignal(signal.SIGQUIT)
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # else it opens one for the processes
    # Else the libraries by which they exchange gradients listen on an address of the network.
    os.environ["NCCL_SOCKET_IFNAME"] = os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        with as_before():
            elastic_launch(config, sys.executable)("-m", *module)
    except ChildFailedError as error:
        return sorted(error.failures.values(), key=lambda failure: failure.timestamp)
    finally:
        signal.signal(signal.SIGQUIT, before)
    return []


def _meeting() -> dist.TCPStore:
    """Where the processes meet, as long as this one holds it."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    return dist.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())


def error_of(folder: Path, failed: Sequence[ProcessFailure], count: int, out_of_memory: int) -> Exception:
    """What the process said that failed first, or what ended it; not what others said who then missed it."""
    files = sorted(folder.glob("failure-*.json"), key=lambda file: file.stat().st_mtime_ns)
    said = [Failure.model_validate_json(file.read_text(encoding="utf-8")) for file in files]
    own = [failure for failure in said if not failure.of_another]
    ended = [f for f in failed if f.exitcode < 0 and f.exitcode != -signal.SIGTERM]
    if not own and ended:
        return _ended(ended[0], count)
    if not said:
        return _ended(failed[0], count)
    failure = (own or said)[0]
    if failure.exit_code == out_of_memory:
        return torch.OutOfMemoryError(f"on GPU {failure.rank} of {count}: {failure.message}")
    error = TuneserveError(f"GPU {failure.rank} of {count}: {failure.message}", failure.next_step)
    error.exit_code = failure.exit_code
    return error


def _ended(failed: ProcessFailure, count: int) -> TuneserveError:
    """A process that something ended before it could say anything."""
    which = f"the process of GPU {failed.local_rank} of {count}"
    if failed.exitcode == -signal.SIGKILL:
        return TuneserveError(
            f"{which} was killed (SIGKILL), and the others were ended; most often the machine ran out of memory",
            "free memory, or take a smaller model or micro-batch, then run the same command: it goes on",
        )
    how = signal.Signals(-failed.exitcode).name if failed.exitcode < 0 else f"exit code {failed.exitcode}"
    return TuneserveError(
        f"{which} ended by {how}, and the others were ended",
        "see the end of logs/tune*.log in the run directory, then run the same command: it goes on",
    )

"""Several processes that train together: who they are, and how they add up what each has.

Started by torchrun (or `accelerate launch`), each process joins the others and then hides that there are any from the
training stack. Unsloth, transformers and accelerate see one process with one GPU: none of them wraps the model, repeats
rows to make batches even, or scales a loss by the number of processes. What must be exchanged goes through here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from configs.errors import TuneserveError, first_line
from configs.machine.gpus import visible_cards
from trainer.gpus.started import forget_others, rank_of_this, started_by_others

EXCHANGE_WITHIN = timedelta(minutes=30)
"""A process that waits longer for the others gives up: rank 0 may write a checkpoint meanwhile, but no more."""
JOIN_WITHIN = timedelta(hours=24)
"""How long the others wait for rank 0, which may be tokenizing the data."""


class OthersGone(TuneserveError):
    """Another process ended, or does not answer; it knows why."""


@dataclass
class World:
    """This process among those that train together."""

    rank: int
    """Its number, from 0; rank 0 writes, logs and shows."""
    size: int
    """How many there are, on all machines."""
    _store: Any
    _group: Any
    _asked: int = field(default=0, init=False)

    def add_up(self, values: torch.Tensor) -> torch.Tensor:
        """Puts the sum over all processes into `values`, in place; on a GPU without waiting for it."""
        try:
            self._group.allreduce([values]).wait()
        except RuntimeError as error:
            raise self._gone(error) from error
        return values

    def gather(self, value: Any) -> list[Any]:
        """What every process gave, by rank; small values that JSON can hold."""
        self._asked += 1
        self._store.set(f"{self._asked}/{self.rank}", json.dumps(value))
        try:
            return [json.loads(self._store.get(f"{self._asked}/{rank}")) for rank in range(self.size)]
        except RuntimeError as error:
            raise self._gone(error) from error

    def share(self, value: Any) -> Any:
        """What rank 0 gave."""
        return self.gather(value if self.rank == 0 else None)[0]

    def _gone(self, error: RuntimeError) -> OthersGone:
        return OthersGone(
            f"process {self.rank} of {self.size} waited in vain for the others: {first_line(error)}",
            "look at what they said: logs/tune*.log in the run directory",
        )


def join(port: int | None = None) -> World:
    """Meets the others, takes this process's GPU, and hides the others from the libraries that are imported after it.

    Must come before CUDA is used.

    Args:
        port: of this machine, where they meet; by default, where who started them says.

    Raises:
        TuneserveError: the others cannot be reached.
    """
    # Not `torch.cuda.is_available()`, after which it is settled which GPUs this process has.
    on_gpu = torch.version.cuda is not None and bool(visible_cards())
    if on_gpu:
        take_card(int(os.environ["LOCAL_RANK"]))
    rank, size = rank_of_this(), started_by_others()
    try:
        if port:
            store = dist.TCPStore("127.0.0.1", port, is_master=False, wait_for_workers=False, timeout=JOIN_WITHIN)
        else:
            store, rank, size = next(dist.rendezvous("env://", rank, size, timeout=JOIN_WITHIN))
    except (dist.DistError, ValueError) as error:
        where = f"127.0.0.1:{port}" if port else f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise TuneserveError(
            f"process {rank} of {size}: rank 0 cannot be reached at {where}: {error}",
            "start all of them by one torchrun; docs/gpus.md",
        ) from error
    forget_others()
    group = (_nccl if on_gpu else dist.ProcessGroupGloo)(
        dist.PrefixStore("gradients", store), rank, size, EXCHANGE_WITHIN
    )
    return World(rank, size, dist.PrefixStore("values", store), group)


def _nccl(store: dist.Store, rank: int, size: int, timeout: timedelta) -> Any:
    """NCCL between these processes, not as torch's default group: Unsloth changes its ways as soon as there is one."""
    options = dist.ProcessGroupNCCL.Options()
    options._timeout = timeout
    options.global_ranks_in_group = list(range(size))
    options.group_name = "tuneserve"
    return dist.ProcessGroupNCCL(store, rank, size, options)


def take_card(local_rank: int) -> None:
    """Leaves this process one GPU, the `local_rank`-th of those it may use, so that every library takes that one."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = [card.strip() for card in given.split(",") if card.strip()] if given is not None else None
    if cards is not None and len(cards) == 1:
        return  # the launcher has done it
    if cards is not None and local_rank >= len(cards):
        raise TuneserveError(
            f"process {local_rank} of this machine has no GPU: CUDA_VISIBLE_DEVICES={given} leaves {len(cards)}",
            "start as many processes as there are GPUs",
        )
    if cards is None:
        # CUDA would count the fastest as the first; the numbers of `visible_cards` go by the bus.
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ["CUDA_VISIBLE_DEVICES"] = cards[local_rank] if cards is not None else str(local_rank)

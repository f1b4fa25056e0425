"""The base asked on a GPU of its own while something else is done on another: what a run saves where two are free.

The base is served before training (it may write rows for it), and its answers are needed after training only. Where the
machine has a GPU more than training takes, it is asked meanwhile; where training takes all, it is asked when the tuned
model is, each on a GPU of its own; where there is one GPU, before training. The answers are the same: the same server,
the same requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from configs.console import note
from configs.gpus import Card, visible_cards
from configs.schema import RunConfig
from serve.launch.cards import choose_cards, is_free


def server_gpus(config: RunConfig) -> int:
    """GPUs that a server of the recipe takes."""
    serve = config.serve
    return serve.tensor_parallel_size * serve.pipeline_parallel_size * serve.data_parallel_size


def cards_apart(config: RunConfig, others: int, cards: Sequence[Card] | None = None) -> tuple[list[Card], list[Card]]:
    """(GPUs for other work, GPUs for the base's server meanwhile); no server's where there are too few for both.

    Args:
        config: the recipe.
        others: GPUs that the other work takes.
        cards: of this machine, as they are now; by default those that this process may use.
    """
    cards = visible_cards() if cards is None else cards
    serving = server_gpus(config)
    if len(cards) < others + serving:
        return list(cards), []
    share = config.serve.gpu_memory_utilization
    taken = choose_cards(cards, others, share)
    rest = [card for card in cards if card not in taken and is_free(card, share)]
    return taken, choose_cards(rest, serving, share) if len(rest) >= serving else []


@contextmanager
def meanwhile(work: Callable[[], None], what: str) -> Iterator[Callable[[], None]]:
    """Does `work` in a thread while the block runs, and waits for it at its end; what it raises is raised here.

    Gives what waits for it before that, for a block that needs what it makes.

    Where the block fails or is interrupted, the work is given up: it goes on from what it has written, the next time.

    Args:
        work: what is done; it must not draw on the terminal, which the block does.
        what: what is waited for, for the line that says so.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failed.append(error)

    def wait() -> None:
        if thread.is_alive():
            note(f"waiting for {what}")
        thread.join()
        if failed:
            raise failed[0]

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    yield wait
    wait()

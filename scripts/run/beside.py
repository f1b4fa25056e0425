"""The base asked on a GPU of its own while another one trains: what a run saves where two GPUs are free.

The base is served before training (it may write rows for it), and its answers are needed after training only. Where the
machine has a GPU more than training takes, they are asked meanwhile; elsewhere first. The answers are the same: the
same server, the same requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from configs.console import note
from configs.gpus import Card, visible_cards
from configs.schema import RunConfig
from serve.launch.cards import choose_cards, is_free
from trainer.gpus.started import started_by_others

FREE = 0.9
"""Share of a GPU's memory that must be free for it to train or to serve."""


def cards_apart(config: RunConfig, cards: Sequence[Card] | None = None) -> tuple[list[Card], list[Card]]:
    """(the GPUs that train, those that serve meanwhile) of a run; none serve where there are too few for both.

    Args:
        config: the recipe.
        cards: of this machine, as they are now; by default those that this process may use.
    """
    cards = visible_cards() if cards is None else cards
    serve, train = config.serve, config.train.num_gpus
    serving = serve.tensor_parallel_size * serve.pipeline_parallel_size * serve.data_parallel_size
    if started_by_others() > 1 or len(cards) < train + serving:
        return list(cards), []
    training = choose_cards(cards, train, FREE)
    rest = [card for card in cards if card not in training and is_free(card, FREE)]
    return training, choose_cards(rest, serving, FREE) if len(rest) >= serving else []


@contextmanager
def meanwhile(work: Callable[[], None], what: str) -> Iterator[None]:
    """Does `work` in a thread while the block runs, and waits for it at its end; what it raises is raised here.

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

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    yield
    if thread.is_alive():
        note(f"waiting for {what}")
    thread.join()
    if failed:
        raise failed[0]

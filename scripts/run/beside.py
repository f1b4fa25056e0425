"""Which GPUs train, and the base asked on one of its own meanwhile: what a run saves where two are free.

The base is served before training (it may write rows for it), and its answers are needed after training only. Where the
machine has a GPU more than training takes, it is asked meanwhile; where training takes all, it is asked when the tuned
model is, each on a GPU of its own; where there is one GPU, before training. The answers are the same: the same server,
the same requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from configs.machine.gpus import Card, visible_cards
from configs.recipe.schema import RunConfig
from configs.terminal.console import note
from serve.launch.cards import choose_cards, is_free, only, server_gpus

TRAINS_FROM = 0.9
"""Share of a GPU's memory that must be free for it to be taken for training before others."""


def cards_for_base(config: RunConfig, others: int | None, cards: Sequence[Card] | None = None) -> list[Card]:
    """GPUs for the base's server beside other work; none where there are too few, or where Ray finds them.

    Args:
        config: the recipe.
        others: GPUs that the other work takes; None where Ray finds them.
        cards: of this machine, as they are now; by default those that this process may use.
    """
    cards = visible_cards() if cards is None else cards
    serving = server_gpus(config.serve)
    if others is None or serving is None or len(cards) < others + serving:
        return []
    share = config.serve.gpu_memory_utilization
    taken = choose_cards(cards, others, share)
    rest = [card for card in cards if card not in taken and is_free(card, share)]
    return choose_cards(rest, serving, share) if len(rest) >= serving else []


def training_cards(config: RunConfig, kept: Sequence[Card] = ()) -> dict[str, str]:
    """Environment in which training takes free GPUs, where this machine has more than it needs.

    Args:
        config: the recipe.
        kept: GPUs that are kept for something else.
    """
    elsewhere, wanted = {card.index for card in kept}, config.train.num_gpus
    cards = [card for card in visible_cards() if card.index not in elsewhere]
    if not kept and len(cards) <= wanted:
        return {}
    chosen = choose_cards(cards, wanted, TRAINS_FROM)
    for card in cards[:wanted]:
        if card not in chosen and not is_free(card, TRAINS_FROM):
            note(f"GPU {card.index} does not train: it is in use by {card.users()}")
    return only(chosen)


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

"""Which GPUs of this machine a server takes: those that are free, of one kind, where there are more than it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from configs.gpus import Card
from configs.schema import ServeConfig
from serve.launch.command import ServerCommand, flag_number, flag_value


def on_free_cards(command: ServerCommand, config: ServeConfig, cards: Sequence[Card]) -> ServerCommand:
    """The command, told which GPUs to take where this machine has more than it needs.

    Args:
        command: what is started.
        config: the settings that it was built from.
        cards: the GPUs that may be used, as they are now.
    """
    wanted = gpus_here(command)
    if command.device == "cpu" or wanted is None or len(cards) <= wanted:
        return command
    share = flag_number(command.argv, "--gpu-memory-utilization", config.gpu_memory_utilization, least=0, most=1)
    return replace(command, env={**command.env, **only(choose_cards(cards, wanted, share))})


def only(cards: Sequence[Card]) -> dict[str, str]:
    """Environment in which a process sees these GPUs alone."""
    # By default CUDA puts the fastest first; NVML's numbers, which `nvidia-smi` shows, go by the bus.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(str(card.index) for card in cards)}


def choose_cards(cards: Sequence[Card], wanted: int, share: float) -> list[Card]:
    """So many of the cards: free ones before others, those of one kind together, in the order in which they stand.

    Args:
        cards: to choose from.
        wanted: how many.
        share: of a card's memory that must be free.
    """
    free = [card for card in cards if is_free(card, share)]
    for name in dict.fromkeys(card.name for card in free):
        alike = [card for card in free if card.name == name]
        if len(alike) >= wanted:
            return alike[:wanted]
    # Too few are free, or of one kind; what is missing is then said of those that were taken.
    return [*free, *(card for card in cards if card not in free)][:wanted]


def is_free(card: Card, share: float) -> bool:
    """Whether nobody has more of its memory than leaves this share."""
    return card.free / 1e9 >= share * card.device.memory_gb


def gpus_here(command: ServerCommand) -> int | None:
    """GPUs that this machine must have; None where Ray finds them, on any machine of its cluster."""
    if "ray" in (flag_value(command.argv, f"--{what}-backend") for what in ("distributed-executor", "data-parallel")):
        return None
    shared = count(command, "--tensor-parallel-size") * count(command, "--pipeline-parallel-size")
    replicas = flag_number(command.argv, "--data-parallel-size-local", count(command, "--data-parallel-size"))
    return -(-shared * replicas // count(command, "--nnodes"))


def count(command: ServerCommand, flag: str) -> int:
    """What a flag that counts GPUs, replicas or machines says; 1 where it is absent."""
    return flag_number(command.argv, flag, 1)

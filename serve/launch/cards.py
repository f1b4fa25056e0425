"""Which GPUs of this machine a server takes: those that are free, of one kind, where there are more than it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from configs.errors import ConfigError
from configs.machine.gpus import Card, visible_cards
from configs.machine.pins import Kind
from configs.recipe.schema import ServeConfig
from serve.launch.command import ServerCommand, flag_number, parallel_flags, uses_ray


def on_free_cards(command: ServerCommand, config: ServeConfig, cards: Sequence[Card]) -> ServerCommand:
    """The command, told which GPUs to take where this machine has more than it needs.

    Args:
        command: what is started.
        config: the settings that it was built from.
        cards: the GPUs that may be used, as they are now.
    """
    wanted = gpus_here(command.argv)
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


def gpus_here(argv: Sequence[str]) -> int | None:
    """GPUs that this machine must have for vLLM's arguments; None where Ray finds them, anywhere in its cluster."""
    if uses_ray(argv):
        return None
    shared = count(argv, "--tensor-parallel-size") * count(argv, "--pipeline-parallel-size")
    replicas = flag_number(argv, "--data-parallel-size-local", count(argv, "--data-parallel-size"))
    return -(-shared * replicas // count(argv, "--nnodes"))


def server_gpus(config: ServeConfig) -> int | None:
    """`gpus_here` of a server with these settings, known before there is anything to serve."""
    return gpus_here([*parallel_flags(config), *config.args])


def check_cards(config: ServeConfig, device: Kind) -> None:
    """Raises a ConfigError where this machine has fewer GPUs than a server with these settings takes.

    A machine that shows none at all is told of elsewhere, with what is wrong with its driver.
    """
    if device == "cuda" and (cards := visible_cards()):
        require_cards(server_gpus(config) or 0, cards)


def require_cards(wanted: int, cards: Sequence[Card]) -> None:
    """Raises a ConfigError where there are fewer cards than are asked for."""
    if len(cards) < wanted:
        raise ConfigError(
            f"{wanted} GPUs are asked for, {len(cards)} can be seen",
            "lower serve.tensor_parallel_size, or look at nvidia-smi and CUDA_VISIBLE_DEVICES",
        )


def count(argv: Sequence[str], flag: str) -> int:
    """What a flag that counts GPUs, replicas or machines says; 1 where it is absent."""
    return flag_number(argv, flag, 1)

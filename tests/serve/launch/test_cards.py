"""A server takes GPUs that are free, and says which; where there is no choice nothing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.machine.gpus import GPUS, Card
from configs.recipe.schema import ServeConfig
from serve.launch import cards as launch_cards
from serve.launch.cards import check_cards, choose_cards, gpus_here, on_free_cards, server_gpus
from serve.launch.command import ServerCommand, build_command
from serve.launch.target import Target


def card(index: int, used_gb: float = 0.0, gpu: str = "h100-80gb") -> Card:
    device = GPUS[gpu]
    return Card(index, device.name, device, int((device.memory_gb - used_gb) * 1e9), ((100 + index, int(used_gb)),))


def command(config: ServeConfig, *extra: str) -> ServerCommand:
    return build_command(Target(Path("model"), ("m",)), config, extra, device="cuda", environ={})


def taken(config: ServeConfig, cards: list[Card], *extra: str) -> str | None:
    return on_free_cards(command(config, *extra), config, cards).env.get("CUDA_VISIBLE_DEVICES")


def test_the_free_card_is_taken_and_stands_in_the_command() -> None:
    config = ServeConfig()
    found = on_free_cards(command(config), config, [card(0, used_gb=40), card(1)])
    assert found.env["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES=1" in found.shown()
    # nvidia-smi's numbers are meant.
    assert found.env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.parametrize(
    ("config", "extra", "expected"),
    [
        (ServeConfig(tensor_parallel_size=2), (), "1,3"),
        (ServeConfig(data_parallel_size=2), (), "1,3"),
        (ServeConfig(pipeline_parallel_size=3), (), "1,3,4"),
        (ServeConfig(), ("-tp", "2"), "1,3"),
        (ServeConfig(gpu_memory_utilization=0.3), (), "0"),
    ],
)
def test_as_many_are_taken_as_the_server_needs(config: ServeConfig, extra: tuple[str, ...], expected: str) -> None:
    cards = [card(0, used_gb=50), card(1), card(2, used_gb=70), card(3), card(4)]
    assert taken(config, cards, *extra) == expected


def test_cards_that_share_a_model_are_of_one_kind() -> None:
    cards = [card(0), card(1, gpu="rtx4090"), card(2, gpu="rtx4090")]
    assert taken(ServeConfig(tensor_parallel_size=2), cards) == "1,2"
    assert [c.index for c in choose_cards(cards, 3, 0.9)] == [0, 1, 2]


def test_where_there_is_no_choice_nothing_is_set() -> None:
    assert taken(ServeConfig(), [card(0, used_gb=80)]) is None
    assert taken(ServeConfig(tensor_parallel_size=2), [card(0), card(1)]) is None
    ray = ("--distributed-executor-backend", "ray")
    assert taken(ServeConfig(), [card(0), card(1)], *ray) is None
    config = ServeConfig()
    on_cpu = replace(command(config), device="cpu")
    assert on_free_cards(on_cpu, config, [card(0), card(1)]) == on_cpu


def test_replicas_on_other_machines_need_no_card_here() -> None:
    config = ServeConfig(data_parallel_size=4, tensor_parallel_size=2)
    assert gpus_here(command(config).argv) == 8
    assert gpus_here(command(config, "--data-parallel-size-local", "1").argv) == 2


@pytest.mark.parametrize(
    ("config", "gpus"),
    [
        (ServeConfig(), 1),
        (ServeConfig(tensor_parallel_size=2, data_parallel_size=2), 4),
        (ServeConfig(tensor_parallel_size=2, args=["--tensor-parallel-size", "4"]), 4),
        (ServeConfig(args=["-dp=2"]), 2),
        (ServeConfig(tensor_parallel_size=8, args=["--nnodes", "2"]), 4),
        (ServeConfig(tensor_parallel_size=8, args=["--distributed-executor-backend=ray"]), None),
    ],
)
def test_the_gpus_of_a_server_are_known_from_its_settings_as_from_its_command(
    config: ServeConfig, gpus: int | None
) -> None:
    assert server_gpus(config) == gpus == gpus_here(command(config).argv)


def test_a_server_that_wants_more_gpus_than_there_are_is_refused_early(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ServeConfig(tensor_parallel_size=4)
    monkeypatch.setattr(launch_cards, "visible_cards", lambda: [card(0), card(1)])
    with pytest.raises(ConfigError, match="4 GPUs are asked for, 2 can be seen"):
        check_cards(config, "cuda")
    check_cards(config, "cpu")
    check_cards(ServeConfig(data_parallel_size=2), "cuda")
    check_cards(ServeConfig(tensor_parallel_size=4, args=["--distributed-executor-backend", "ray"]), "cuda")
    # What is wrong with the driver is said by what looks at it.
    monkeypatch.setattr(launch_cards, "visible_cards", list)
    check_cards(config, "cuda")

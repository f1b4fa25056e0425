"""GPUs by name, and those of a machine as NVML tells them."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from configs.errors import ConfigError
from configs.machine.gpus import GPUS, Device, gpu_at_hand, match, named_gpu, visible_cards


def test_driver_names_find_their_gpu() -> None:
    for name, memory, key in (
        ("NVIDIA H100 80GB HBM3", 85.0, "h100-80gb"), ("NVIDIA A100-SXM4-40GB", 42.3, "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", 85.1, "a100-80gb"), ("NVIDIA GeForce RTX 4090", 25.4, "rtx4090"),
        ("NVIDIA H20", 102.0, "h20-96gb"), ("Tesla T4", 15.6, "t4"), ("NVIDIA L20", 47.8, "l20"),
        ("NVIDIA H200", 150.7, "h200-141gb"), ("NVIDIA H20-3e", 150.7, "h20-141gb"), ("NVIDIA L4", 24.1, "l4"),
        ("NVIDIA A10", 24.1, "a10"), ("NVIDIA A800-SXM4-80GB", 85.9, "a800-80gb"), ("NVIDIA L40S", 48.3, "l40s"),
        ("Tesla V100-SXM2-16GB", 16.9, "v100-16gb"), ("Tesla V100-PCIE-32GB", 34.1, "v100-32gb"),
        ("NVIDIA GeForce RTX 4090 D", 25.8, "rtx4090d-24gb"), ("NVIDIA GeForce RTX 4090 D", 51.5, "rtx4090d-48gb"),
        ("NVIDIA GeForce RTX 4090", 51.5, "rtx4090-48gb"), ("NVIDIA GeForce RTX 4060 Ti", 17.2, "rtx4060ti-16gb"),
        ("NVIDIA GeForce RTX 3060", 12.9, "rtx3060-12gb"), ("NVIDIA RTX 6000 Ada Generation", 51.5, "rtx6000ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 102.6, "rtxpro6000-96gb"),
        ("NVIDIA RTX A6000", 51.5, "rtxa6000"), ("NVIDIA GeForce RTX 2080 Ti", 23.6, "rtx2080ti-22gb"),
    ):  # fmt: skip
        assert match(name, memory) is GPUS[key], name
    for name, memory in (
        ("NVIDIA L2", 24.0), ("NVIDIA A10G", 24.0), ("NVIDIA GeForce RTX 5080 Laptop GPU", 17.1), ("NVIDIA L40", 48.3),
        ("NVIDIA GeForce RTX 4080 SUPER", 17.2), ("NVIDIA GeForce RTX 3060 Ti", 8.6), ("Quadro RTX 6000", 25.4),
    ):  # fmt: skip
        assert match(name, memory) is None, name


def test_the_rates_are_those_of_units_clocks_and_generation() -> None:
    """Multiprocessors and boost clocks (GHz) by the pages of the cards; those of data centres do twice as much."""
    for key, units, clock, factor in (
        ("rtx3060-12gb", 28, 1.777, 1), ("rtx4060ti-16gb", 34, 2.535, 1), ("rtx4080", 76, 2.505, 1),
        ("rtx4090d-24gb", 114, 2.520, 1), ("rtx5080", 84, 2.617, 1), ("rtx6000ada", 142, 2.505, 2),
        ("rtxpro6000-96gb", 188, 2.617, 2), ("l40s", 142, 2.490, 2), ("a10", 72, 1.695, 2), ("l4", 58, 2.040, 2),
        ("v100-32gb", 80, 1.530, 1), ("rtxa6000", 84, 1.800, 2), ("h800-80gb", 132, 1.830, 1),
    ):  # fmt: skip
        gpu = GPUS[key]
        assert gpu.capability is not None
        per_clock = {7: 1024, 9: 4096}.get(gpu.capability[0], 512)
        assert gpu.tflops == pytest.approx(units * clock * per_clock * factor / 1000, rel=0.02), key


def test_every_card_says_where_its_figures_are_from() -> None:
    assert [gpu.name for gpu in GPUS.values() if not gpu.source or not gpu.bandwidth_gb_s] == []


def test_a_name_is_read_as_it_is_spoken() -> None:
    assert named_gpu("RTX 4090") is GPUS["rtx4090"]
    assert named_gpu("NVIDIA GeForce RTX 5080") is GPUS["rtx5080"]
    with pytest.raises(ConfigError, match="did you mean a100-80gb or a100-40gb"):
        named_gpu("a100")


def test_unknown_gpu_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean rtx4090"):
        named_gpu("rtx4900")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cards: one that is listed, and one of an unknown name whose driver tells its units and clocks."""
    names = ["NVIDIA H100 80GB HBM3", "NVIDIA Something"]
    capabilities = [(9, 0), (12, 1)]
    for name, value in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda i: i,
        "nvmlDeviceGetUUID": lambda i: f"GPU-{i}",
        "nvmlDeviceGetName": lambda i: names[i],
        "nvmlDeviceGetMemoryInfo": lambda i: SimpleNamespace(total=[85_520_000_000, 34_200_000_000][i], free=10**9),
        "nvmlDeviceGetComputeRunningProcesses": lambda i: [SimpleNamespace(pid=1, usedGpuMemory=10**9)],
        "nvmlDeviceGetCudaComputeCapability": lambda i: capabilities[i],
        "nvmlDeviceGetNumGpuCores": lambda i: 21760,
        "nvmlDeviceGetMaxClockInfo": lambda i, kind: 14001 if kind == pynvml.NVML_CLOCK_MEM else 2407,
        "nvmlDeviceGetMemoryBusWidth": lambda i: 512,
    }.items():
        monkeypatch.setattr(pynvml, name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("machine")
def test_a_card_is_a_listed_gpu_or_one_with_the_rates_of_its_units() -> None:
    first, second = visible_cards()
    assert (first.name, first.device) == ("NVIDIA H100 80GB HBM3", GPUS["h100-80gb"])
    assert first.users().startswith("pid 1 (")
    assert (second.device.name, second.device.memory_gb, second.device.bf16) == ("NVIDIA Something", 34.2, True)
    # A 5090's units and clocks come to its published rates.
    assert second.device.tflops == pytest.approx(GPUS["rtx5090"].tflops, rel=0.01)
    assert second.device.bandwidth_gb_s == pytest.approx(GPUS["rtx5090"].bandwidth_gb_s, rel=0.01)


@pytest.mark.usefixtures("machine")
def test_only_the_cards_that_cuda_may_use_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [card.index for card in visible_cards({"CUDA_VISIBLE_DEVICES": "1, 0"})] == [1, 0]
    assert [card.index for card in visible_cards({"CUDA_VISIBLE_DEVICES": "GPU-1,7"})] == [1]
    assert visible_cards({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert gpu_at_hand() == GPUS["h100-80gb"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found = gpu_at_hand()
    assert found is not None
    assert found.name == "NVIDIA Something"


@pytest.mark.usefixtures("machine")
def test_several_are_planned_for_by_the_one_that_can_least(monkeypatch: pytest.MonkeyPatch) -> None:
    something = visible_cards()[1].device
    assert gpu_at_hand(2) == something
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert (gpu_at_hand(), gpu_at_hand(2)) == (something, something)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_at_hand(2) is None


@pytest.mark.usefixtures("machine")
def test_a_card_that_has_no_bf16_decides_though_it_has_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda i: ["Tesla V100-SXM2-32GB", "NVIDIA GeForce RTX 4090"][i])
    sizes = [34_360_000_000, 25_300_000_000]
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda i: SimpleNamespace(total=sizes[i], free=10**9))
    assert gpu_at_hand(2) == GPUS["v100-32gb"]


@pytest.mark.usefixtures("machine")
def test_a_virtual_gpu_that_tells_little_has_no_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetNumGpuCores", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", refuse)
    _, card = visible_cards()
    assert card.device == Device("NVIDIA Something", 34.2, capability=(12, 1))
    assert (card.device.kind, card.device.tflops) == ("cuda", 0)
    assert "cannot be seen from here" in card.users()

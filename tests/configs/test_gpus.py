"""GPUs by name, and those of a machine as NVML tells them."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from configs.errors import ConfigError
from configs.gpus import GPUS, Device, gpu_at_hand, match, named_gpu, visible_cards


def test_driver_names_find_their_gpu() -> None:
    for name, memory, key in (
        ("NVIDIA H100 80GB HBM3", 85.0, "h100-80gb"), ("NVIDIA A100-SXM4-40GB", 42.3, "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", 85.1, "a100-80gb"), ("NVIDIA GeForce RTX 4090", 25.4, "rtx4090"),
        ("NVIDIA H20", 102.0, "h20-96gb"), ("Tesla T4", 15.6, "t4"), ("NVIDIA L20", 47.8, "l20"),
    ):  # fmt: skip
        assert match(name, memory) is GPUS[key]
    for name, memory in (("NVIDIA H200", 150.0), ("NVIDIA L2", 24.0), ("NVIDIA L4", 24.0)):
        assert match(name, memory) is None


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
def test_a_virtual_gpu_that_tells_little_has_no_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetNumGpuCores", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", refuse)
    _, card = visible_cards()
    assert card.device == Device("NVIDIA Something", 34.2, capability=(12, 1))
    assert (card.device.kind, card.device.tflops) == ("cuda", 0)
    assert "cannot be seen from here" in card.users()

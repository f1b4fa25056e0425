"""What computes: a GPU or the CPU, the GPUs that a plan can be made for, and those of this machine. Imports no torch.

Memory is what CUDA reports, in GB of 1e9 bytes; a little less than the name of the card says. Rates are the makers'
dense figures for bf16 products with fp32 sums (fp16 where the card has no bf16), without sparsity. This machine's
cards are seen through NVML: no CUDA context is made.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from configs.errors import ConfigError
from configs.pins import Kind


@dataclass(frozen=True)
class Device:
    """A kind of GPU, or a machine's CPU."""

    name: str
    """Key of GPUS, the driver's name for a card that is not listed, or CPU."""
    memory_gb: float
    """Memory of the GPU, or of the machine, in GB of 1e9 bytes."""
    tflops: float = 0.0
    """Dense 16-bit TFLOP/s, as published; 0 where they are not known, and then nothing is predicted."""
    bandwidth_gb_s: float = 0.0
    """Memory bandwidth in GB/s, as published; 0 where it is not known."""
    capability: tuple[int, int] | None = None
    """CUDA compute capability; None for a CPU."""

    @property
    def kind(self) -> Kind:
        """What PyTorch calls it."""
        return "cpu" if self.capability is None else "cuda"

    @property
    def bf16(self) -> bool:
        """Whether bf16 is computed in hardware, fast enough to train in: compute capability 8 and later."""
        return self.capability is not None and self.capability >= (8, 0)


@dataclass(frozen=True)
class Card:
    """One GPU of this machine as NVML sees it now; sizes in bytes."""

    index: int
    """NVML's number, as in `nvidia-smi`."""
    name: str
    """The driver's, such as `NVIDIA H100 80GB HBM3`."""
    device: Device
    """What it is."""
    free: int
    """What nobody has of its memory."""
    holders: tuple[tuple[int, int], ...] = ()
    """(pid, bytes) of the processes that have some."""

    def users(self) -> str:
        """The holders, the largest first, with their names where they can be seen."""
        if not self.holders:
            return "processes that cannot be seen from here (another container, or another user)"
        return ", ".join(
            f"pid {pid} ({_process_name(pid)}, {size / (1 << 30):.1f} GiB)"
            for pid, size in sorted(self.holders, key=lambda h: -h[1])
        )


GPUS = {
    gpu.name: gpu
    for gpu in (
        Device("h100-80gb", 85.0, 989, 3350, (9, 0)),
        Device("h20-96gb", 102.0, 148, 4000, (9, 0)),
        Device("a100-80gb", 85.1, 312, 2039, (8, 0)),
        Device("a100-40gb", 42.3, 312, 1555, (8, 0)),
        Device("l20", 47.8, 119.5, 864, (8, 9)),
        Device("rtx5090", 33.7, 209.5, 1792, (12, 0)),
        Device("rtx4090", 25.3, 165.2, 1008, (8, 9)),
        Device("rtx3090", 25.4, 71, 936, (8, 6)),
        Device("t4", 15.6, 65, 320, (7, 5)),
    )
}
"""By the name that `--gpu` takes. Figures from NVIDIA's data sheets and architecture papers."""

MEASURED_ON = "h100-80gb"
"""The GPU that the plan's coefficients were measured on; every other one is scaled from it."""

# Products and sums per clock of one multiprocessor's tensor cores, times two, and its CUDA cores: from the architecture
# papers. They reproduce the published rates of every card above that is not cut down by its firmware.
_PER_SM = {
    (7, 5): (1024, 64), (8, 0): (2048, 64), (8, 6): (512, 128), (8, 9): (512, 128),
    (9, 0): (4096, 128), (10, 0): (8192, 128), (12, 0): (512, 128),
}  # fmt: skip


def this_cpu() -> Device:
    """The CPU of this machine."""
    return Device("CPU", psutil.virtual_memory().total / 1e9)


def named_gpu(name: str) -> Device:
    """The GPU of that name.

    Raises:
        ConfigError: it is not listed; the nearest name and all names are given.
    """
    gpu = GPUS.get(name.lower())
    if gpu is None:
        near = difflib.get_close_matches(name.lower(), GPUS, n=1)
        raise ConfigError(
            f"--gpu {name}: no such GPU here" + (f"; did you mean {near[0]}?" if near else ""),
            f"take one of {', '.join(GPUS)}",
        )
    return gpu


def match(driver_name: str, memory_gb: float) -> Device | None:
    """The listed GPU that a driver's name and memory stand for, e.g. `NVIDIA A100-SXM4-40GB`; None if none does."""
    # "RTX 4090" is spelt rtx4090 here. L2 is not L20 and H200 is not H20: a model's name must not go on with a digit.
    spelt = re.sub(r"\brtx\s+", "rtx", driver_name.lower())
    for name, gpu in GPUS.items():
        is_model = re.search(rf"\b{name.partition('-')[0]}(?![0-9])", spelt)
        if is_model and abs(gpu.memory_gb - memory_gb) < 0.1 * gpu.memory_gb:
            return gpu
    return None


def visible_cards(environ: Mapping[str, str] = os.environ) -> list[Card]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, in its order; none where there is no NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = {i: pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())}
        uuids = {pynvml.nvmlDeviceGetUUID(handle): i for i, handle in handles.items()}
        chosen = environ.get("CUDA_VISIBLE_DEVICES")
        if chosen is None:
            order = list(handles)
        else:
            words = [w.strip() for w in chosen.split(",") if w.strip()]
            order = [int(w) if w.isdigit() else uuids.get(w, -1) for w in words]
        return [_look(i, handles[i]) for i in order if i in handles]
    finally:
        pynvml.nvmlShutdown()


def gpu_at_hand() -> Device | None:
    """The first NVIDIA GPU that this process may use; None where there is no driver or no GPU."""
    return next((card.device for card in visible_cards()), None)


def _look(index: int, handle: Any) -> Card:
    import pynvml

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:  # a virtual GPU may not tell
        running = []
    holders = tuple((p.pid, p.usedGpuMemory or 0) for p in running)
    name = str(pynvml.nvmlDeviceGetName(handle))
    device = match(name, memory.total / 1e9) or _unlisted(name, memory.total / 1e9, handle)
    return Card(index, name, device, int(memory.free), holders)


def _unlisted(name: str, memory_gb: float, handle: Any) -> Device:
    """A card that is not listed, with the rates that its clocks and units come to, where the driver tells them."""
    import pynvml

    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    try:
        # An unknown generation counts as the last known one before it.
        per_clock, cores = _PER_SM[max(k for k in _PER_SM if k <= max((major, minor), (7, 5)))]
        multiprocessors = pynvml.nvmlDeviceGetNumGpuCores(handle) / cores
        sm_mhz = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM)
        memory_mhz = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM)
        bus_bits = pynvml.nvmlDeviceGetMemoryBusWidth(handle)
    except pynvml.NVMLError:  # a virtual GPU may not tell
        return Device(name, memory_gb, capability=(major, minor))
    return Device(
        name,
        memory_gb,
        multiprocessors * sm_mhz * 1e6 * per_clock / 1e12,
        # Two transfers a clock on every kind of memory that NVML reports in this unit.
        2 * memory_mhz * 1e6 * bus_bits / 8 / 1e9,
        (major, minor),
    )


def _process_name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:  # another container's process, or already gone
        return "?"

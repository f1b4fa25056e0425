"""What computes: a GPU or the CPU, the GPUs that a plan can be made for, and those of this machine. Imports no torch.

Memory is what CUDA reports, in GB of 1e9 bytes; a little less than the name of the card says. Rates are the makers'
dense figures for bf16 products with fp32 sums (fp16 where the card has no bf16), without sparsity. This machine's
cards are seen through NVML: no CUDA context is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from configs.errors import ConfigError
from configs.machine.pins import Kind, made_for
from configs.terminal.nearest import did_you_mean


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
    source: str = ""
    """Where rates and bandwidth were published."""
    link_gb_s: float = 10.0
    """Bus bandwidth in GB/s that an all-reduce between such cards of one machine reaches: by NVLink, or PCIe's."""

    @property
    def kind(self) -> Kind:
        """What PyTorch calls it."""
        return "cpu" if self.capability is None else "cuda"

    @property
    def bf16(self) -> bool:
        """Whether bf16 is computed in hardware, fast enough to train in: compute capability 8 and later."""
        return self.capability is not None and self.capability >= (8, 0)

    @property
    def fp8(self) -> bool:
        """Whether the tensor cores multiply 8-bit floating-point numbers: Ada, Hopper and later."""
        return self.capability is not None and self.capability >= (8, 9)


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
        Device("h100-80gb", 85.0, 989, 3350, (9, 0), "H100/H800 data sheet", 330),
        Device("h800-80gb", 85.0, 989, 3350, (9, 0), "H100/H800 data sheet", 150),
        Device("h200-141gb", 150.1, 989, 4800, (9, 0), "H200 data sheet", 330),
        Device("h20-96gb", 102.0, 148, 4000, (9, 0), "H20 data sheet", 330),
        Device("h20-141gb", 150.1, 148, 4800, (9, 0), "H20 data sheet", 330),
        Device("a100-80gb", 85.1, 312, 2039, (8, 0), "A100/A800 data sheet", 220),
        Device("a100-40gb", 42.3, 312, 1555, (8, 0), "A100/A800 data sheet", 220),
        Device("a800-80gb", 85.1, 312, 2039, (8, 0), "A100/A800 data sheet", 150),
        Device("l40s", 47.7, 362, 864, (8, 9), "L40S data sheet"),
        Device("l20", 47.8, 119.5, 864, (8, 9), "L20 data sheet"),
        Device("l4", 23.7, 121, 300, (8, 9), "L4 data sheet"),
        Device("a10", 23.7, 125, 600, (8, 6), "A10 data sheet"),
        Device("v100-32gb", 34.1, 125, 900, (7, 0), "V100 data sheet", 110),
        Device("v100-16gb", 16.9, 125, 900, (7, 0), "V100 data sheet", 110),
        Device("t4", 15.6, 65, 320, (7, 5), "T4 data sheet"),
        Device("rtxpro6000-96gb", 101.9, 503.8, 1792, (12, 0), "RTX PRO Blackwell paper"),
        Device("rtx6000ada", 50.9, 364.2, 960, (8, 9), "RTX 6000 Ada data sheet"),
        Device("rtxa6000", 50.9, 154.8, 768, (8, 6), "RTX A6000 data sheet"),
        Device("rtx5090", 33.7, 209.5, 1792, (12, 0), "RTX Blackwell paper"),
        Device("rtx5080", 16.6, 112.6, 960, (12, 0), "RTX Blackwell paper"),
        Device("rtx4090", 25.3, 165.2, 1008, (8, 9), "Ada paper"),
        Device("rtx4090-48gb", 50.9, 165.2, 1008, (8, 9), "Ada paper"),
        Device("rtx4080", 16.8, 97.5, 717, (8, 9), "Ada paper"),
        Device("rtx4090d-24gb", 25.3, 147.1, 1008, (8, 9), "GeForce RTX 4090 D page, Ada paper"),
        Device("rtx4090d-48gb", 50.9, 147.1, 1008, (8, 9), "GeForce RTX 4090 D page, Ada paper"),
        Device("rtx4060ti-16gb", 16.8, 44.1, 288, (8, 9), "GeForce RTX 4060 Ti page, Ada paper"),
        Device("rtx4060-8gb", 8.4, 30.2, 272, (8, 9), "GeForce RTX 4060 page, Ada paper"),
        Device("rtx3090", 25.4, 71, 936, (8, 6), "GA102 paper"),
        Device("rtx3060-12gb", 12.6, 25.5, 360, (8, 6), "GeForce RTX 3060 page, GA102 paper"),
        Device("rtx2080ti-11gb", 11.5, 53.8, 616, (7, 5), "Turing paper"),
        Device("rtx2080ti-22gb", 23.4, 53.8, 616, (7, 5), "Turing paper"),
    )
}
"""By the name that `--gpu` takes. The cards of 48 and 22 GB that NVIDIA does not sell are rebuilt 4090s, 4090 Ds and
2080 Tis; a rate that no paper prints is multiprocessors x boost clock x `_PER_SM`, by the page of the card."""

MEASURED_ON = "h100-80gb"
"""The GPU that the plan's coefficients were measured on; every other one is scaled from it."""

# Products and sums per clock of one multiprocessor's tensor cores, times two, and its CUDA cores: from the architecture
# papers. They reproduce the published rates of every card above that is not cut down by its firmware; data centre and
# workstation cards of the generations 8.6, 8.9 and 12.0 do twice as much.
_PER_SM = {
    (7, 0): (1024, 64), (7, 5): (1024, 64), (8, 0): (2048, 64), (8, 6): (512, 128), (8, 9): (512, 128),
    (9, 0): (4096, 128), (10, 0): (8192, 128), (12, 0): (512, 128),
}  # fmt: skip


def this_cpu() -> Device:
    """The CPU of this machine."""
    return Device("CPU", psutil.virtual_memory().total / 1e9)


def named_gpu(name: str) -> Device:
    """The GPU of that name; case, spaces and underscores do not count.

    Raises:
        ConfigError: it is not listed; the nearest names are given, or all.
    """
    written = re.sub(r"[\s_]|nvidia|geforce", "", name.lower())
    if gpu := GPUS.get(written):
        return gpu
    near = did_you_mean(written, GPUS)
    raise ConfigError(f"--gpu {name}: no such GPU here", near or f"take one of {', '.join(GPUS)}")


def match(driver_name: str, memory_gb: float) -> Device | None:
    """The listed GPU that a driver's name and memory stand for, e.g. `NVIDIA A100-SXM4-40GB`; None if none does."""
    for name, gpu in GPUS.items():
        model = re.sub(r"^(rtx)(pro)?(a?\d+)(ti|d|ada)?$", r"\1 \2 \3 \4", name.partition("-")[0])
        words = r"\s*".join(model.split())
        # L2 is not L20, A10G not A10, a 4090 D no 4090 and a notebook's card none of these.
        is_model = re.search(rf"\b{words}(?![0-9a-z])(?!\s*(?:d|ti|super|ada|laptop|max-q)\b)", driver_name.lower())
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


def device_at_hand(count: int = 1) -> Device:
    """What trains here: of the first `count` GPUs that this process may use the one that can least, else the CPU.

    The CPU too where this environment was made for it. Each GPU must be able to do what is planned for all.
    """
    return (None if made_for() == "cpu" else gpu_at_hand(count)) or this_cpu()


def gpu_at_hand(count: int = 1) -> Device | None:
    """Of the first `count` NVIDIA GPUs that this process may use the one that can least; None where there is none."""
    devices = [card.device for card in visible_cards()[:count]]
    return min(devices, key=lambda device: (device.bf16, device.fp8, device.memory_gb), default=None)


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
        per_clock, cores = _PER_SM[max(k for k in _PER_SM if k <= max((major, minor), (7, 0)))]
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

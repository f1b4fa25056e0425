"""The GPUs that a plan can be made for: published figures, and the card at hand. Imports no torch.

Memory is what CUDA reports, in GB of 1e9 bytes; a little less than the name of the card says. Rates are the makers'
dense figures for bf16 products with fp32 sums (fp16 where the card has no bf16), without sparsity.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from configs.errors import ConfigError


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU."""

    name: str
    """Key of GPUS, or the driver's name for a card that is not listed."""
    memory_gb: float
    """Memory in GB of 1e9 bytes, as CUDA reports it."""
    tflops: float
    """Dense 16-bit TFLOP/s, as published."""
    bandwidth_gb_s: float
    """Memory bandwidth in GB/s, as published."""
    capability: tuple[int, int]
    """CUDA compute capability."""

    @property
    def bf16(self) -> bool:
        """Whether bf16 is computed in hardware: compute capability 8 and later."""
        return self.capability >= (8, 0)


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("h100-80gb", 85.0, 989, 3350, (9, 0)),
        Gpu("h20-96gb", 102.0, 148, 4000, (9, 0)),
        Gpu("a100-80gb", 85.1, 312, 2039, (8, 0)),
        Gpu("a100-40gb", 42.3, 312, 1555, (8, 0)),
        Gpu("l20", 47.8, 119.5, 864, (8, 9)),
        Gpu("rtx5090", 33.7, 209.5, 1792, (12, 0)),
        Gpu("rtx4090", 25.3, 165.2, 1008, (8, 9)),
        Gpu("rtx3090", 25.4, 71, 936, (8, 6)),
        Gpu("t4", 15.6, 65, 320, (7, 5)),
    )
}
"""By the name that `--gpu` takes. Figures from NVIDIA's data sheets and architecture papers."""

MEASURED_ON = "h100-80gb"
"""The GPU that the coefficients were measured on; every other one is scaled from it."""

# Products and sums per clock of one multiprocessor's tensor cores, times two, and its CUDA cores: from the architecture
# papers. They reproduce the published rates of every card above that is not cut down by its firmware.
_PER_SM = {
    (7, 5): (1024, 64), (8, 0): (2048, 64), (8, 6): (512, 128), (8, 9): (512, 128),
    (9, 0): (4096, 128), (10, 0): (8192, 128), (12, 0): (512, 128),
}  # fmt: skip


def named_gpu(name: str) -> Gpu:
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


def gpu_at_hand() -> Gpu | None:
    """The first NVIDIA GPU of this machine; None where there is no driver or no GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        if not pynvml.nvmlDeviceGetCount():
            return None
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        name = pynvml.nvmlDeviceGetName(handle)
        memory_gb = pynvml.nvmlDeviceGetMemoryInfo(handle).total / 1e9
        if listed := match(name, memory_gb):
            return listed
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        # An unknown generation counts as the last known one before it.
        per_clock, cores = _PER_SM[max(k for k in _PER_SM if k <= max((major, minor), (7, 5)))]
        multiprocessors = pynvml.nvmlDeviceGetNumGpuCores(handle) / cores
        sm_mhz = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM)
        memory_mhz = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM)
        bus_bits = pynvml.nvmlDeviceGetMemoryBusWidth(handle)
        return Gpu(
            name,
            memory_gb,
            multiprocessors * sm_mhz * 1e6 * per_clock / 1e12,
            # Two transfers a clock on every kind of memory that NVML reports in this unit.
            2 * memory_mhz * 1e6 * bus_bits / 8 / 1e9,
            (major, minor),
        )
    finally:
        pynvml.nvmlShutdown()


def match(driver_name: str, memory_gb: float) -> Gpu | None:
    """The listed GPU that a driver's name and memory stand for, e.g. `NVIDIA A100-SXM4-40GB`; None if none does."""
    # "RTX 4090" is spelt rtx4090 here. L2 is not L20 and H200 is not H20: a model's name must not go on with a digit.
    spelt = re.sub(r"\brtx\s+", "rtx", driver_name.lower())
    for name, gpu in GPUS.items():
        is_model = re.search(rf"\b{name.partition('-')[0]}(?![0-9])", spelt)
        if is_model and abs(gpu.memory_gb - memory_gb) < 0.1 * gpu.memory_gb:
            return gpu
    return None

"""GPUs, their free memory and who holds the rest, through NVML: no CUDA context is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import psutil
import pynvml


@dataclass(frozen=True)
class Gpu:
    """One GPU as NVML sees it; sizes in bytes."""

    index: int
    """NVML's number, as in `nvidia-smi`."""
    name: str
    """Such as `NVIDIA H100 80GB HBM3`."""
    total: int
    """All of its memory."""
    free: int
    """What nobody has."""
    holders: tuple[tuple[int, int], ...] = ()
    """(pid, bytes) of the processes that have some."""

    def users(self) -> str:
        """The holders, the largest first, with their names where they can be seen."""
        if not self.holders:
            return "processes that cannot be seen from here (another container, or another user)"
        return ", ".join(
            f"pid {pid} ({_name(pid)}, {size / (1 << 30):.1f} GiB)"
            for pid, size in sorted(self.holders, key=lambda h: -h[1])
        )


def visible_gpus(environ: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, in its order; none where there is no NVIDIA driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        gpus = {i: pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())}
        uuids = {pynvml.nvmlDeviceGetUUID(handle): i for i, handle in gpus.items()}
        chosen = environ.get("CUDA_VISIBLE_DEVICES")
        if chosen is None:
            order = list(gpus)
        else:
            words = [w.strip() for w in chosen.split(",") if w.strip()]
            order = [int(w) if w.isdigit() else uuids.get(w, -1) for w in words]
        return [_look(i, gpus[i]) for i in order if i in gpus]
    finally:
        pynvml.nvmlShutdown()


def _look(index: int, handle: object) -> Gpu:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:  # a virtual GPU may not tell
        running = []
    holders = tuple((p.pid, p.usedGpuMemory or 0) for p in running)
    return Gpu(index, str(pynvml.nvmlDeviceGetName(handle)), int(memory.total), int(memory.free), holders)


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:  # another container's process, or already gone
        return "?"

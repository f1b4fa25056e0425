"""What training runs on, and the most memory it took."""

from __future__ import annotations

import resource

import psutil
import torch

from trainer.plan.layout import Device


def find_device() -> Device:
    """The first GPU that torch sees, else the CPU."""
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        # Compute capability 8 and later; older cards only emulate it.
        bf16 = properties.major >= 8
        return Device("cuda", properties.name, properties.total_memory / 1e9, bf16)
    return Device("cpu", "CPU", psutil.virtual_memory().total / 1e9, False)


def peak_gb() -> float:
    """Peak memory so far in GB of 1e9 bytes: what the GPU's allocator reserved, as plans predict, else this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

"""What training runs on, and the most memory it took."""

from __future__ import annotations

import resource
from dataclasses import replace

import torch

from configs.machine.gpus import Device, gpu_at_hand, match, this_cpu


def find_device() -> Device:
    """The first GPU that torch sees, with the rates of its kind where they are known, else the CPU."""
    if not torch.cuda.is_available():
        return this_cpu()
    seen = torch.cuda.get_device_properties(0)
    memory_gb, capability = seen.total_memory / 1e9, (seen.major, seen.minor)
    known = match(seen.name, memory_gb) or gpu_at_hand() or Device(seen.name, memory_gb)
    return replace(known, name=seen.name, memory_gb=memory_gb, capability=capability)


def peak_gb() -> float:
    """Peak memory so far in GB of 1e9 bytes: what the GPU's allocator reserved, as plans predict, else this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

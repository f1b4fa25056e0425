"""Main memory and disk of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil


def memory_gb() -> float:
    """Main memory in GB of 1e9 bytes."""
    return psutil.virtual_memory().total / 1e9


def free_disk_gb(folder: Path) -> float:
    """Free space where a folder is or would be, in GB of 1e9 bytes."""
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free / 1e9

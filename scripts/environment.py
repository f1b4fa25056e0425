"""Memory, disk and tools of this machine, and what is wrong with them, each with its cure."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import psutil

from configs.cache.folder import cache_root
from configs.machine import driver
from configs.terminal.console import shell

LEAST_DISK_GB = 10.0
"""The smallest real model with its merged weights, adapter and checkpoints."""
LEAST_MEMORY_GB = 7.0
LEAST_SHARED_GB = 1.0
"""vLLM's processes talk through shared memory; a container has 64 MB of it unless told otherwise."""
SHARED = Path("/dev/shm")


def problems(folder: Path) -> list[driver.Problem]:
    """What stands in the way beside driver and packages."""
    found = []
    free_gb, memory = free_disk_gb(folder), memory_gb()
    if free_gb < LEAST_DISK_GB:
        cure = "`tuneserve runs prune` frees some; or set output_dir, HF_HOME and TUNESERVE_CACHE to a larger disk"
        found.append(driver.Problem(f"{free_gb:.1f} GB are free for {folder}", cure, blocks=False))
    if memory < LEAST_MEMORY_GB:
        cure = "close programs, add swap, or (WSL) raise `memory` in .wslconfig; the demo needs 4 GB"
        found.append(driver.Problem(f"{memory:.1f} GB of main memory is little", cure, blocks=False))
    if SHARED.is_dir() and shutil.disk_usage(SHARED).total / 1e9 < LEAST_SHARED_GB:
        size = shutil.disk_usage(SHARED).total / 1e6
        cure = "start the container with `--ipc=host` or `--shm-size=8g`"
        found.append(driver.Problem(f"{SHARED} has {size:.0f} MB, and a model server needs more", cure, blocks=False))
    if (packages := uncompiled_packages()) is not None:
        found.append(
            driver.Problem(
                "PYTHONDONTWRITEBYTECODE is set and the packages are not compiled: every start does it anew, of vLLM "
                "in about 25 s",
                shell(sys.executable, "-m", "compileall", "-q", "-j", "0", packages),
                blocks=False,
            )
        )
    cache = cache_root()
    place = next(p for p in (cache, *cache.parents) if p.exists())
    if not os.access(place, os.W_OK):
        cure = "export TUNESERVE_CACHE=/a/folder/of/yours"
        found.append(driver.Problem(f"{place} cannot be written to, and prepared data are kept in {cache}", cure, True))
    return found


def uncompiled_packages() -> Path | None:
    """The folder of packages whose modules Python compiles at every start; None where it need not or keeps them.

    pip compiles what it installs; uv and archives do not.
    """
    found = importlib.util.find_spec("vllm") or importlib.util.find_spec("torch")
    if not sys.dont_write_bytecode or found is None or found.origin is None:
        return None
    compiled = Path(importlib.util.cache_from_source(found.origin))
    return None if compiled.exists() else Path(found.origin).parents[1]


def memory_gb() -> float:
    """Main memory in GB of 1e9 bytes."""
    return psutil.virtual_memory().total / 1e9


def free_disk_gb(folder: Path) -> float:
    """Free space where a folder is or would be, in GB of 1e9 bytes."""
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free / 1e9

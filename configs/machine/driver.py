"""NVIDIA cards and their driver as `nvidia-smi` lists them, and whether the pinned CUDA packages run on them.

Set-up asks before anything is downloaded, `doctor` and `check` ask the same. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.errors import TuneserveError
from configs.machine.pins import Kind, cuda_version

SMI = "nvidia-smi"
WSL_SMI = Path("/usr/lib/wsl/lib/nvidia-smi")
"""Where WSL has it, on the PATH or not."""
PCI_DEVICES = Path("/sys/bus/pci/devices")
KERNEL = Path("/proc/version")
HEADER = Path(sysconfig.get_paths("posix_prefix")["include"]) / "Python.h"
"""Debian has it in a package of its own."""
TIMEOUT_S = 30.0
"""With many cards and no persistence mode nvidia-smi takes ten seconds; with a dead card it never ends."""
ON_CPU = "TUNESERVE_DEVICE=cpu bash scripts/setup.sh"


@dataclass(frozen=True)
class Needs:
    """What a major version of CUDA asks of a machine."""

    driver: int
    """Branch of the oldest driver that loads its programs."""
    capability: tuple[int, int]
    """The oldest compute capability that its libraries have code for."""
    generation: str
    """The cards of that capability."""


NEEDS = {13: Needs(580, (7, 5), "Turing: T4, RTX 20")}
"""By major version of CUDA, from its release notes. A pin that moves to another version needs its line here."""


@dataclass(frozen=True)
class Card:
    """One card as nvidia-smi lists it."""

    index: int
    """nvidia-smi's number."""
    name: str
    """Such as `Tesla V100-SXM2-16GB`."""
    capability: tuple[int, int] | None
    """CUDA compute capability; None where the driver does not tell."""
    driver: str
    """Version of the driver, of two or three parts: `535.104.05`, on WSL `581.29`."""
    memory_gb: float | None
    """All of its memory in GB of 1e9 bytes; None where the driver does not tell, as with MIG."""

    def __str__(self) -> str:
        told = f"compute capability {_dotted(self.capability)}" if self.capability else "unknown compute capability"
        return f"{self.name} ({told})"


@dataclass(frozen=True)
class Problem:
    """Something about driver or cards that the user should know."""

    message: str
    next_step: str
    """Empty where another problem's next step comes first."""
    blocks: bool
    """Nothing can be computed on a GPU here until it is mended."""


@dataclass(frozen=True)
class Machine:
    """What there is of NVIDIA's on this machine."""

    cards: tuple[Card, ...] = ()
    """The cards that CUDA_VISIBLE_DEVICES leaves."""
    hidden: int = 0
    """Cards that it leaves out."""
    failure: str = ""
    """Why nvidia-smi lists none: it fails or hangs, in its own words; empty where it is not there or finds no card."""
    on_bus: bool = False
    """A card of NVIDIA's is plugged in, whatever the driver says of it."""
    wsl: bool = False
    """Linux runs inside Windows, whose driver it uses."""
    library_cuda: tuple[int, int] | None = None
    """Version of CUDA that the driver library here offers; only looked at where the driver seems too old, since a
    forward-compatibility package beside an old driver offers a newer one. None where none can be loaded."""
    compiler: bool = True
    """There is a C compiler."""
    headers: bool = True
    """There are the headers of this Python."""


def look(environ: Mapping[str, str] = os.environ, timeout_s: float = TIMEOUT_S) -> Machine:
    """Asks nvidia-smi, which may take `timeout_s` seconds and no longer."""
    wsl = KERNEL.is_file() and "microsoft" in KERNEL.read_text(encoding="utf-8").lower()
    program = shutil.which(SMI, path=environ.get("PATH")) or (str(WSL_SMI) if WSL_SMI.is_file() else None)
    if program is None:
        return Machine(on_bus=_on_bus(), wsl=wsl)
    try:
        listed = _listed(program, timeout_s)
    except _Failed as failed:
        return Machine(failure=str(failed), on_bus=wsl or _on_bus(), wsl=wsl)
    cards = _visible(listed, environ.get("CUDA_VISIBLE_DEVICES"))
    old = any(_branch(card) < NEEDS[cuda_version()[0]].driver for card in cards)
    return Machine(
        tuple(cards),
        len(listed) - len(cards),
        on_bus=bool(listed) or _on_bus(),
        wsl=wsl,
        library_cuda=_library_cuda() if old else None,
        compiler="CC" in environ or any(shutil.which(name, path=environ.get("PATH")) for name in ("gcc", "clang")),
        headers=any(file.is_file() for file in _headers(environ)),
    )


def problems(machine: Machine) -> list[Problem]:
    """What stands between this machine and the pinned CUDA packages; empty where nothing does, or where it has no card.

    The first that blocks names the next step.
    """
    cuda = cuda_version()
    needs = NEEDS[cuda[0]]
    packages = f"the pinned packages (CUDA {_dotted(cuda)})"
    if machine.failure:
        return [_no_answer(machine)]
    if not machine.cards:
        return [] if machine.hidden or not machine.on_bus else [_no_driver(needs)]
    found = []
    old = [card for card in machine.cards if card.capability and card.capability < needs.capability]
    fit = [card for card in machine.cards if card not in old]
    if old and not fit:
        names = ", ".join(dict.fromkeys(str(card) for card in old))
        found.append(
            Problem(
                f"{names} is too old: {packages} have code for compute capability {_dotted(needs.capability)} "
                f"({needs.generation}) and newer",
                f"use another card, or the CPU: {ON_CPU}; older versions of torch and tuneserve for older cards "
                "are not supported",
                blocks=True,
            )
        )
    elif old:
        chosen = ",".join(str(card.index) for card in fit)
        found.append(
            Problem(
                f"{', '.join(f'card {card.index}, {card},' for card in old)} is too old for {packages}",
                f"leave it out: export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES={chosen}",
                blocks=False,
            )
        )
    driver = machine.cards[0].driver
    if _branch(machine.cards[0]) < needs.driver and (machine.library_cuda or (0, 0))[0] < cuda[0]:
        found.append(
            Problem(
                f"the NVIDIA driver is {driver}, and {packages} need {needs.driver} or newer",
                _upgrade(machine, needs) if fit else "",
                blocks=True,
            )
        )
    if fit and not machine.compiler:
        lacks = "no C compiler is found, and Triton compiles its kernels with one"
        found.append(Problem(lacks, "on Debian and Ubuntu: apt install build-essential", blocks=True))
    if fit and not machine.headers:
        lacks = f"{HEADER} is not there, and Triton compiles its kernels with it"
        cure = f"on Debian and Ubuntu: apt install python3.{sys.version_info.minor}-dev"
        found.append(Problem(lacks, cure, blocks=True))
    return found


def advice(machine: Machine, device: Kind | None) -> list[Problem]:
    """The problems as they bear on an environment that was made for `device`.

    One for the CPU works whatever the driver says, so that nothing blocks it; and it leaves a card alone that would do.
    """
    found = problems(machine)
    if device == "cuda":
        if machine.cards or found:
            return found
        why = "CUDA_VISIBLE_DEVICES hides every card" if machine.hidden else "no NVIDIA GPU is seen here"
        step = "unset CUDA_VISIBLE_DEVICES" if machine.hidden else "look at nvidia-smi (in a container: `--gpus all`)"
        return [
            Problem(f"{why}, and this environment was made for one", f"{step}, or make it for the CPU: {ON_CPU}", True)
        ]
    if machine.cards and not any(problem.blocks for problem in found):
        names = ", ".join(dict.fromkeys(card.name for card in machine.cards))
        unused = f"{names} is not used: this environment has {'CPU builds' if device else 'no trainer and no server'}"
        return [Problem(unused, "TUNESERVE_DEVICE=cuda bash scripts/setup.sh", blocks=False)]
    return [Problem(problem.message, problem.next_step, blocks=False) for problem in found]


def raise_what_blocks(found: Sequence[Problem]) -> None:
    """Raises a TuneserveError with everything that blocks; returns where nothing does."""
    if blocking := [problem for problem in found if problem.blocks]:
        steps = dict.fromkeys(problem.next_step for problem in blocking if problem.next_step)
        raise TuneserveError("; ".join(problem.message for problem in blocking), "; ".join(steps))


def _no_answer(machine: Machine) -> Problem:
    where = "in Windows" if machine.wsl else "on this machine (in a container: on its host)"
    return Problem(
        machine.failure,
        f"mend the driver {where}: after an upgrade, and after `GPU is lost`, a reboot helps; or use the CPU: {ON_CPU}",
        blocks=machine.on_bus,
    )


def _no_driver(needs: Needs) -> Problem:
    return Problem(
        "an NVIDIA card is plugged in, and no driver lists it",
        f"to use it, install driver {needs.driver} or newer (in a container: start it with `--gpus all`)",
        blocks=False,
    )


def _upgrade(machine: Machine, needs: Needs) -> str:
    if machine.wsl:
        how = "upgrade the NVIDIA driver in Windows, not inside WSL"
    else:
        how = f"upgrade it (Ubuntu: apt install nvidia-driver-{needs.driver}, then reboot; in a container: on its host)"
    return (
        f"{how}, or use the CPU: {ON_CPU}; older versions of torch and tuneserve for an older driver are not supported"
    )


class _Failed(Exception):
    """nvidia-smi said something other than cards."""


def _listed(program: str, timeout_s: float) -> list[Card]:
    """The cards in nvidia-smi's order; none where it finds none.

    Raises:
        _Failed: it hangs, ends with an error, or says what cannot be read.
    """
    code, said = _ask(program, "name,compute_cap,driver_version,memory.total", timeout_s)
    if code and "compute_cap" in said:
        # Drivers before 510 do not know the word.
        code, said = _ask(program, "name,driver_version,memory.total", timeout_s)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if cards := [card for line in lines if (card := _card(line))]:
        # Lines beside the cards speak of one that is lost; the others still count.
        return [Card(i, c.name, c.capability, c.driver, c.memory_gb) for i, c in enumerate(cards)]
    if (not lines and not code) or any("no devices were found" in line.lower() for line in lines):
        return []
    raise _Failed(f"nvidia-smi fails: {lines[0] if lines else f'exit code {code}'}")


def _ask(program: str, fields: str, timeout_s: float) -> tuple[int, str]:
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise _Failed(f"nvidia-smi cannot be started: {program}: {error.strerror}") from None
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        # It is not waited for: a process that hangs in the driver does not even die of SIGKILL.
        process.kill()
        raise _Failed(f"nvidia-smi does not answer within {timeout_s:.0f} s") from None
    return process.returncode, said


def _card(line: str) -> Card | None:
    """A line of nvidia-smi's answer; None where it is none: name, compute capability (or not), driver, memory."""
    match = re.fullmatch(r"(.+?), (?:(\d+\.\d+|\[[^\],]*\]), )?(\d+(?:\.\d+)+), ([^,]+)", line)
    if match is None:
        return None
    name, capability, driver, memory = match.groups()
    mebibytes = re.fullmatch(r"(\d+)(?: MiB)?", memory)
    return Card(
        0,
        name,
        _numbers(capability) if capability and capability[0] != "[" else None,
        driver,
        int(mebibytes[1]) * 2**20 / 1e9 if mebibytes else None,
    )


def _visible(cards: Sequence[Card], chosen: str | None) -> list[Card]:
    """The cards that CUDA_VISIBLE_DEVICES leaves; like CUDA, reads no further than the first word that is no card."""
    if chosen is None:
        return list(cards)
    left: list[Card] = []
    for word in chosen.split(","):
        word = word.strip()
        if word.startswith(("GPU-", "MIG-")):
            return list(cards)  # which of them it is, this listing does not tell
        if not word.isdigit() or int(word) >= len(cards):
            break
        left.append(cards[int(word)])
    return left


def _on_bus() -> bool:
    """A display controller of NVIDIA's is on the PCI bus."""
    for device in PCI_DEVICES.glob("*"):
        try:
            vendor, kind = ((device / name).read_text(encoding="ascii").strip() for name in ("vendor", "class"))
        except OSError:  # taken out meanwhile
            continue
        if vendor == "0x10de" and kind.startswith("0x03"):
            return True
    return False


def _headers(environ: Mapping[str, str]) -> list[Path]:
    """Where a compiler finds Python.h."""
    return [HEADER, *(Path(folder) / HEADER.name for folder in environ.get("CPATH", "").split(":") if folder)]


def _library_cuda() -> tuple[int, int] | None:
    """Version of CUDA that the driver library offers which programs load here."""
    version = ctypes.c_int()
    try:
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)):
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10


def _branch(card: Card) -> int:
    return int(card.driver.partition(".")[0])


def _numbers(dotted: str) -> tuple[int, int]:
    major, minor = dotted.split(".")
    return int(major), int(minor)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"

"""What set-up asks of an environment before it says that it is ready: the builds that were meant, and that they import.

Standard library only; the environment is looked at from outside.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from configs.errors import TuneserveError
from configs.machine.pins import Kind, Package, cuda_version, normal
from configs.process.child import die_with

TRAINER = """
import tempfile
from pathlib import Path
from trainer import environment
with tempfile.TemporaryDirectory() as folder:
    environment.settle(Path(folder))
    import unsloth, trl, peft
"""
SERVER = """
import torch, vllm
import vllm._custom_ops
torch.ops._C.rms_norm
"""
"""vLLM only warns when its kernels cannot be loaded, so one is asked for."""


def site_packages(environment: Path) -> list[Path]:
    """The folder of its packages; none where it is not made yet."""
    return list((environment / "lib").glob("python*/site-packages"))


def installed_in(environment: Path) -> dict[str, str]:
    """Every package that is wholly there, and its version: installers write who they are after the last file."""
    folders = (metadata for folder in site_packages(environment) for metadata in folder.glob("*.dist-info"))
    whole = (folder.stem.rpartition("-") for folder in folders if (folder / "INSTALLER").is_file())
    return {normal(name): version for name, _, version in whole}


def differing(environment: Path, device: Kind, wanted: Mapping[str, str]) -> list[Package]:
    """The packages that are not there in the version and build that the list means."""
    there = installed_in(environment)
    found = (Package(name, there.get(name), version, device) for name, version in wanted.items())
    return [package for package in found if not package.agrees]


def check_builds(environment: Path, device: Kind, wanted: Mapping[str, str]) -> None:
    """Raises a TuneserveError unless every package is there in the version and build that the list means."""
    wrong = [str(package) for package in differing(environment, device, wanted)]
    if not any(line.startswith("torch ") for line in wrong) and (built := torch_build(environment, device)):
        wrong.append(built)
    if wrong:
        raise TuneserveError(
            f"this is not the environment that was meant: {'; '.join(wrong[:5])}"
            + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""),
            "pip took another build: look at `pip config list` and PIP_FIND_LINKS, then run it again",
        )


def torch_build(environment: Path, device: Kind) -> str:
    """What is wrong with torch's own word on its CUDA, `torch.version.cuda`, which is read without importing torch.

    Empty where nothing is.
    """
    files = [file for folder in site_packages(environment) if (file := folder / "torch" / "version.py").is_file()]
    text = files[0].read_text(encoding="utf-8") if files else ""
    match = re.search(r"^cuda\b[^=]*=\s*(?:'(\d+)[\d.]*'|None)", text, re.MULTILINE)
    if match is None:
        return "torch/version.py does not say which CUDA it was built for"
    built = f"CUDA {match[1]}" if match[1] else "the CPU"
    meant = f"CUDA {cuda_version()[0]}" if device == "cuda" else "the CPU"
    return "" if built == meant else f"torch was built for {built}, and {meant} is meant"


def check_imports(environment: Path, root: Path, *, device_seen: bool) -> None:
    """Imports the trainer's and the server's packages, each in a process of its own, both at once.

    Args:
        environment: where they are installed.
        root: the checkout.
        device_seen: what they are built for is here. Unsloth and vLLM's kernels load nowhere else.

    Raises:
        TuneserveError: one of them cannot be imported.
    """
    codes = (
        {"trainer": TRAINER, "server": SERVER}
        if device_seen
        else {"trainer": "import trl, peft", "server": "import vllm"}
    )
    this = os.getpid()
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for name, code in codes.items():
            with (Path(folder) / name).open("w", encoding="utf-8") as log:
                command = [str(environment / "bin" / "python"), "-c", code]
                running.append(
                    subprocess.Popen(
                        command, cwd=root, stdout=log, stderr=subprocess.STDOUT, preexec_fn=lambda: die_with(this)
                    )
                )
        for name, ended in zip(codes, [process.wait() for process in running], strict=True):
            if ended:
                said = (Path(folder) / name).read_text(encoding="utf-8", errors="replace")
                raise TuneserveError(
                    f"the packages of the {name} are installed and cannot be imported: {_why(ended, said)}",
                    "rm -r .venv && bash scripts/setup.sh; where that does not help, they do not fit this machine: "
                    "tuneserve doctor",
                )


def _why(ended: int, said: str) -> str:
    """How a process ended: the last line that it said, or the signal."""
    if ended == -signal.SIGILL:
        return "it executed an instruction that this processor does not have"
    if ended < 0:
        return f"it was ended by {signal.Signals(-ended).name}"
    return said.strip().splitlines()[-1] if said.strip() else f"exit code {ended}"

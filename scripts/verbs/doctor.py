"""`tuneserve doctor`: what is installed, which GPU, which versions disagree, and what to do about it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from configs.console import console, mark, paint, tables
from configs.errors import EXIT_FAILED, without_credentials
from configs.gpus import visible_cards
from scripts import environment


def doctor(
    folder: Annotated[Path, typer.Option("--folder", help="Where runs are written; its disk is looked at.")] = Path(
        "runs"
    ),
) -> None:
    """Look at this machine: versions, GPU, memory, disk, and what to do about what is wrong.

    Exit code 1 when training or serving cannot work here.
    """
    cards = visible_cards()
    device = "cuda" if cards else "cpu"
    table = Table("what", "found", "", box=None, title="This machine", title_justify="left")
    problems: list[tuple[str, str]] = []

    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    table.add_row("Python", platform.python_version(), mark(ok))
    if not ok:
        problems.append(
            ("Python 3.11 to 3.13 is needed", "make .venv with one: PYTHON=python3.12 bash scripts/setup.sh")
        )
    for card in cards:
        memory = f"{card.free / 1e9:.0f} of {card.device.memory_gb:.0f} GB free"
        table.add_row("GPU", f"{card.name}, {memory}, driver {environment.driver_version()}", mark(True))
    if not cards:
        table.add_row("GPU", "none: trains and serves on the CPU (the demo, small models)", "")
    table.add_row("Memory", f"{environment.memory_gb():.0f} GB, {os.cpu_count()} cores", "")
    table.add_row("Disk", f"{environment.free_disk_gb(folder):.0f} GB free for {folder}", "")
    for variable in ("HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE", "MODELSCOPE_CACHE", "CUDA_VISIBLE_DEVICES"):
        if variable in os.environ:
            table.add_row(variable, without_credentials(os.environ[variable]), "")
    tables.print(table)

    packages = Table("package", "installed", "pinned", "", box=None, title="\nThe stack", title_justify="left")
    for package in environment.stack(device):
        packages.add_row(package.name, package.installed or "-", package.pinned or "-", mark(package.agrees))
        if package.installed is None and package.pinned:
            problems.append((f"{package.name} is not installed", "bash scripts/setup.sh"))
        elif not package.agrees and package.pinned:
            found = f"{package.name} {package.installed} is installed, {package.pinned} is pinned"
            problems.append((found, "bash scripts/setup.sh"))
    tables.print(packages)

    torch = environment.installed("torch") or ""
    if cards and "+cpu" in torch:
        problems.append(("torch is a CPU build, but there is a GPU", "rm -r .venv && bash scripts/setup.sh"))
    if "+cpu" in torch:
        for name in environment.BREAKS_BESIDE_CPU_TORCH:
            if environment.installed(name):
                problems.append((f"{name} breaks the import of Unsloth beside a CPU torch", f"pip uninstall {name}"))
    if not problems:
        console.print(paint("\n[green]Everything agrees.[/green]"))
        return
    console.print(paint("\n[bold]What to do[/bold]"))
    for problem, remedy in problems:
        console.print(paint("  [red]✗[/red] {}\n    [bold]next:[/bold] {}", problem, remedy))
    raise typer.Exit(EXIT_FAILED)

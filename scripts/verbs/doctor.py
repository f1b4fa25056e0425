"""`tuneserve doctor`: what is installed, which GPU, which versions disagree, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from configs.errors import EXIT_FAILED
from configs.machine import driver, pins
from configs.machine.gpus import visible_cards
from configs.network.addresses import without_password
from configs.terminal.console import asked_for, console, mark, ours, paint, plain, print_json, shell, tables
from scripts import environment


def doctor(
    folder: Annotated[Path, typer.Option("--folder", help="Where runs are written; its disk is looked at.")] = Path(
        "runs"
    ),
) -> None:
    """Look at this machine: driver, GPU, versions, memory, disk, and what to do about what is wrong.

    Exit code 1 when training or serving cannot work here.
    """
    machine = driver.look()
    made_for = pins.made_for()
    device = made_for or ("cuda" if machine.cards else "cpu")
    tables.print(_machine_table(machine, made_for, folder))
    problems = driver.advice(machine, made_for)
    if sys.version_info[:2] not in ((3, 11), (3, 12), (3, 13)):
        found = f"this is Python {platform.python_version()}; 3.11 to 3.13 is needed"
        problems.append(driver.Problem(found, "PYTHON=python3.12 bash scripts/setup.sh", blocks=True))
    packages = Table(
        "package", "installed", "pinned", "", box=None, title=f"\nThe stack for {device}", title_justify="left"
    )
    for package in pins.stack(device):
        packages.add_row(package.name, package.installed or "-", package.pinned or "-", mark(package.agrees))
    differing = [
        str(package) for package in pins.disagreements(device) if package.pinned or package.name not in pins.MEDIA
    ]
    if made_for is None:
        alone = "this is the command line alone: neither a trainer nor a server is installed beside it"
        problems.append(driver.Problem(alone, _setup(device), blocks=True))
    else:
        problems += [driver.Problem(found, _setup(device), blocks=True) for found in differing]
    tables.print(packages)
    for name in pins.MEDIA if device == "cpu" else ():
        if version := pins.installed(name):
            found = f"{name} {version} is installed; beside a CPU torch it breaks the import of Unsloth"
            problems.append(driver.Problem(found, f"{sys.executable} -m pip uninstall {name}", blocks=True))
    problems += environment.problems(folder)
    if asked_for("json"):
        print_json("problems", [asdict(problem) for problem in problems])
    if not problems:
        console.print(paint("\n[green]Everything agrees.[/green]"))
        return
    console.print(paint("\n[bold]What to do[/bold]"))
    for number, problem in enumerate(problems):
        sign = "[red]✗[/red]" if problem.blocks else "[yellow]![/yellow]"
        console.print(paint(f"  {sign} {{}}", problem.message))
        # One cure for several lines stands below the last of them.
        repeated = number + 1 < len(problems) and problems[number + 1].next_step == problem.next_step
        if problem.next_step and not repeated:
            console.print(paint("    [bold]next:[/bold] {}", problem.next_step))
    if any(problem.blocks for problem in problems):
        raise typer.Exit(EXIT_FAILED)


def _machine_table(machine: driver.Machine, made_for: pins.Kind | None, folder: Path) -> Table:
    """What this machine has, with a mark where it can be right or wrong."""
    table = Table("what", "found", "", box=None, title="This machine", title_justify="left")
    table.add_row("Python", platform.python_version(), "")
    table.add_row(ours("Made for"), made_for or "neither cpu nor cuda: no trainer and no server is installed", "")
    free = {gpu.index: gpu.free for gpu in visible_cards()} if machine.cards else {}
    broken = any(problem.blocks for problem in driver.problems(machine))
    for card in machine.cards:
        memory = f", {card.memory_gb:.0f} GB" if card.memory_gb else ""
        left = f", {free[card.index] / 1e9:.0f} GB free" if card.index in free else ""
        table.add_row("GPU", ours(f"{card}{memory}{left}, driver {card.driver}"), mark(not broken))
    if not machine.cards:
        table.add_row("GPU", "none is seen; an environment for the CPU runs the demo and small models", "")
    table.add_row(ours("Memory"), f"{environment.memory_gb():.0f} GB, {os.cpu_count()} cores", "")
    table.add_row(ours("Disk"), f"{environment.free_disk_gb(folder):.0f} GB free for {folder}", "")
    for variable in ("HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE", "MODELSCOPE_CACHE", "CUDA_VISIBLE_DEVICES"):
        if variable in os.environ:
            found = os.environ[variable]
            table.add_row(variable, plain(without_password(found) if variable == "HF_ENDPOINT" else found), "")
    return table


def _setup(device: pins.Kind) -> str:
    """The command that makes an environment what it should be, in a checkout or beside a wheel."""
    if (pins.LISTS.parent / "setup.sh").is_file():
        return f"TUNESERVE_DEVICE={device} bash scripts/setup.sh"
    packages = pins.LISTS / f"{device}.txt"
    # An environment that uv made has no pip of its own.
    if importlib.util.find_spec("pip") is None:
        backend = ["--torch-backend", "cpu"] if device == "cpu" else []
        return shell("uv", "pip", "install", "--python", sys.executable, *backend, "--no-deps", "-r", packages)
    return shell(sys.executable, "-m", "pip", "install", "--no-deps", "-r", packages)

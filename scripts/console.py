"""How the command line talks: one console, one line for a stage, one shape for an error."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.markup import escape

from configs.errors import TuneserveError

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def done(stage: str, seconds: float, text: str = "") -> None:
    """The line of a stage that is finished."""
    console.print(f"[green]✓[/green] [bold]{stage:<8}[/bold] [cyan]{seconds:6.1f} s[/cyan]  {text}")


def skipped(stage: str, text: str = "nothing that it depends on changed") -> None:
    """The line of a stage whose result is still good."""
    console.print(f"[dim]✓ {stage:<8}  skipped  {text}[/dim]")


def starting(stage: str, text: str) -> None:
    """The line of a stage that begins, with why or what."""
    console.print(f"[blue]→[/blue] [bold]{stage:<8}[/bold]           [dim]{text}[/dim]")


def print_error(error: TuneserveError) -> None:
    """An error and its next step, on standard error."""
    errors.print(f"[bold red]error:[/bold red] {escape(error.message)}")
    if error.next_step:
        errors.print(f"  [bold]next:[/bold] {escape(error.next_step)}")


def debugging() -> bool:
    """Whether `--debug` was given, here or to the command that started this one."""
    return os.environ.get("TUNESERVE_DEBUG") == "1" or "--debug" in sys.argv

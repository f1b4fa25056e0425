"""How every part talks on the terminal: one console, one line for a stage."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

console = Console(highlight=False, soft_wrap=True)
"""Lines: never broken, so that a command can be copied."""
tables = Console(highlight=False)
"""Tables and panels: fitted to the width of the terminal."""
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def done(stage: str, seconds: float, text: str = "") -> None:
    """The line of a stage that is finished."""
    console.print(f"[green]✓[/green] [bold]{stage:<7}[/bold][cyan]{seconds:7.1f} s[/cyan]  {escape(text)}")


def skipped(stage: str, text: str = "nothing that it depends on changed") -> None:
    """The line of a stage whose result is still good."""
    console.print(f"[dim]✓ {stage:<7}  skipped  {escape(text)}[/dim]")


def starting(stage: str, text: str) -> None:
    """The line of a stage that begins, with why or what."""
    console.print(f"[blue]→[/blue] [bold]{stage:<7}[/bold]           [dim]{escape(text)}[/dim]")


def note(text: str, good: bool | None = None) -> None:
    """A line that belongs to the stage above it."""
    mark = {None: " ", True: "[green]✓[/green]", False: "[red]✗[/red]"}[good]
    console.print(f"  {mark} {escape(text)}")

"""How every part talks on the terminal: one console, one line for a stage, one shape for an error."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from configs.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, TuneserveError

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


def print_error(error: TuneserveError) -> None:
    """An error and its next step, on standard error."""
    errors.print(f"[bold red]error:[/bold red] {escape(error.message)}")
    if error.next_step:
        errors.print(f"  [bold]next:[/bold] {escape(error.next_step)}")


def guarded(action: Callable[[], object], debug: bool) -> int:
    """Runs what a process is there for and returns its exit code; an error that a user can mend becomes one message.

    Args:
        action: what is run.
        debug: let every error through with its traceback.
    """
    try:
        action()
    except TuneserveError as error:
        if debug:
            raise
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on from here")
        return EXIT_INTERRUPTED
    except OSError as error:
        # A full disk, a file that may not be read: the operating system's own words are the message.
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        said = TuneserveError(f"{where}{error.strerror or error}", "mend that and run the command again; it goes on")
        print_error(said)
        return EXIT_FAILED
    return EXIT_OK

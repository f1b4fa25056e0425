"""How the command line ends when something is wrong."""

from __future__ import annotations

import os
import sys

from rich.markup import escape

from configs.console import console, errors, tables
from configs.errors import TuneserveError

__all__ = ["console", "debugging", "errors", "print_error", "tables"]


def print_error(error: TuneserveError) -> None:
    """An error and its next step, on standard error."""
    errors.print(f"[bold red]error:[/bold red] {escape(error.message)}")
    if error.next_step:
        errors.print(f"  [bold]next:[/bold] {escape(error.next_step)}")


def debugging() -> bool:
    """Whether `--debug` was given, here or to the command that started this one."""
    return os.environ.get("TUNESERVE_DEBUG") == "1" or "--debug" in sys.argv

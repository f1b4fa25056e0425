"""`tuneserve chat`: talk to a served model in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer


def chat(
    which: Annotated[str | None, typer.Argument(help="A running server: run directory, model name or port.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Any OpenAI endpoint instead.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model name at that endpoint.")] = None,
    system: Annotated[str | None, typer.Option("--system", help="System prompt.")] = None,
    both: Annotated[bool, typer.Option("--both", help="Base and tuned side by side.")] = False,
) -> None:
    """Stream a conversation; /thinking on|off, /system TEXT, /clear, /quit.

    `tuneserve chat runs/shop`
    """
    from configs.terminal.console import console
    from serve.chat import chat as converse

    converse(which, base_url=base_url, model=model, system=system, both=both, console=console)

"""`tuneserve adapters`: load and unload adapters while a server runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from configs.errors import ConfigError
from configs.terminal.console import console, mark, ours, paint, tables
from scripts.group import group

app = group(
    help="Adapters of a running server: list, load, unload, without a restart.",
    no_args_is_help=True,
)

Server = Annotated[
    str | None, typer.Option("--server", help="Run directory, model name or port; not needed when one server runs.")
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="Any vLLM server instead; its key is read from TUNESERVE_API_KEY.")
]


@app.command("list")
def list_(server: Server = None, base_url: BaseUrl = None) -> None:
    """Show the models that a server answers to.

    `tuneserve adapters list`
    """
    from serve.api.adapters import served_models
    from serve.live_adapters import find_host

    table = Table("name", "beside", "context", "folder", box=None)
    for model in served_models(find_host(server, base_url).client):
        folder = model.folder or ""
        if Path(folder).is_dir():  # a server elsewhere may name anything, also what can be no path
            folder = os.path.realpath(folder)
        table.add_row(model.name, model.parent or "", str(model.context or ""), folder)
    tables.print(table)


@app.command()
def load(
    named: Annotated[str, typer.Argument(metavar="NAME=RUN", help="Model name, and a run directory or PEFT folder.")],
    server: Server = None,
    base_url: BaseUrl = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check parity and proof once it is loaded.")] = True,
) -> None:
    """Load a run's adapter, prove it, and serve it under a name.

    `tuneserve adapters load b=runs/b`
    """
    from serve.live_adapters import find_host, find_source
    from serve.live_adapters import load as load_into

    name, sep, where = named.partition("=")
    if not (name and sep and where):
        raise ConfigError(f"{named}: expected NAME=RUN", "e.g. tuneserve adapters load b=runs/b")
    host, source = find_host(server, base_url, ("load", named)), find_source(name, Path(where))
    checks = load_into(host, source, check)
    for passed, line in checks.lines() if checks else ():
        console.print(mark(passed), ours(line))
    if checks is None:
        why = "it is no run" if source.run is None else "--no-check"
        console.print(paint("[yellow]not checked:[/yellow] {}", why))
    if source.adapter.system:
        console.print(f"system prompt of its training, to be sent first: {source.adapter.system!r}")
    console.print(f"loaded; ask {host.client.root_url}/v1 for the model {name}")


@app.command()
def unload(
    name: Annotated[str, typer.Argument(help="The adapter's model name.")],
    server: Server = None,
    base_url: BaseUrl = None,
) -> None:
    """Take an adapter out of a running server.

    `tuneserve adapters unload b`
    """
    from serve.live_adapters import find_host
    from serve.live_adapters import unload as unload_from

    unload_from(find_host(server, base_url, ("unload", name)), name)
    console.print(f"unloaded {name}")

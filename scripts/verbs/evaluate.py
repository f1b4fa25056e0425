"""`tuneserve eval`: scores one endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from configs.terminal.console import console, tables
from scripts.verbs.tasks import OVERRIDES, endpoints_config


def evaluate(
    base_url: Annotated[str, typer.Option("--base-url", help="Any OpenAI endpoint, such as http://127.0.0.1:8000/v1.")],
    model: Annotated[str, typer.Option("--model", help="Model name at that endpoint.")],
    tasks: Annotated[list[str], typer.Option("--tasks", help="TYPE, TYPE=PATH or NAME:TYPE=PATH; may be repeated.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the answers; an interrupted evaluation goes on there.")
    ],
    overrides: Annotated[list[str] | None, typer.Argument(help=OVERRIDES)] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Seeded sample of this many items a task.")] = None,
) -> None:
    """Score one endpoint; the API key comes from TUNESERVE_API_KEY.

    `tuneserve eval --base-url http://127.0.0.1:8000/v1 --model shop --tasks builtin --out scores eval.max_tokens=512`
    """
    config = endpoints_config(overrides or [], tasks, limit=limit)
    from eval.ask.endpoint import Endpoint
    from scripts.run.asking import ask, endpoints_settings
    from scripts.run.tasks import recipe_tasks

    endpoint, settings = Endpoint(base_url, model, model), endpoints_settings(config)
    results = ask(endpoint, recipe_tasks(config), out, settings, by_name=True)
    table = Table("task", "metric", "score", "n", "errors", "empty", box=None)
    for name, result in results.items():
        counts = (result.meta.n, len(result.errors), len(result.empty))
        table.add_row(name, result.meta.primary, f"{100 * result.mean():.2f}", *map(str, counts))
    tables.print(table)
    console.print(f"\nanswers: {out}")

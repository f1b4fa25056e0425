"""`tuneserve eval`: scores one endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from configs.console import console, tables
from configs.schema import TaskConfig
from scripts.verbs.tasks import parse_tasks


def evaluate(
    base_url: Annotated[str, typer.Option("--base-url", help="Any OpenAI endpoint, such as http://127.0.0.1:8000/v1.")],
    model: Annotated[str, typer.Option("--model", help="Model name at that endpoint.")],
    tasks: Annotated[list[str], typer.Option("--tasks", help="TYPE, TYPE=PATH or NAME:TYPE=PATH; may be repeated.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the answers; an interrupted evaluation goes on there.")
    ],
    limit: Annotated[int | None, typer.Option("--limit", help="Seeded sample of this many items a task.")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 42,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=0, help="Requests in flight; 0 finds the level.")
    ] = 0,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Longest answer where the task does not say.")
    ] = 256,
    thinking: Annotated[bool | None, typer.Option("--thinking/--no-thinking", help="Thinking mode, on vLLM.")] = None,
    hub: Annotated[
        Literal["huggingface", "modelscope"], typer.Option("--hub", help="Where data sets named by id are fetched.")
    ] = "huggingface",
) -> None:
    """Score one endpoint; the API key comes from TUNESERVE_API_KEY.

    `tuneserve eval --base-url http://127.0.0.1:8000/v1 --model shop --tasks builtin --out scores`
    """
    from eval.ask.endpoint import Endpoint, Settings
    from eval.tasks import load_tasks
    from scripts.run.asking import ask

    configs: list[TaskConfig] = parse_tasks(tasks, limit)
    settings = Settings(seed=seed, max_tokens=max_tokens, concurrency=concurrency, thinking=thinking)
    results = ask(Endpoint(base_url, model, model), load_tasks(configs, seed, hub), out, settings)
    table = Table("task", "metric", "score", "n", "errors", box=None)
    for name, result in results.items():
        points = f"{100 * result.mean():.2f}"
        table.add_row(name, result.meta.primary, points, str(result.meta.n), str(len(result.errors)))
    tables.print(table)
    console.print(f"\nanswers: {out}")

"""`tuneserve bench`: throughput and latency of a served run, by vLLM's own benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    which: Annotated[str, typer.Argument(help="A running server: run directory, model name or port.")],
    concurrency: Annotated[
        list[int] | None, typer.Option("--concurrency", help="Requests in flight; repeatable.")
    ] = None,
    prompts: Annotated[int, typer.Option("--prompts", help="Requests at each concurrency.")] = 200,
    input_tokens: Annotated[int, typer.Option("--input-tokens")] = 512,
    output_tokens: Annotated[int, typer.Option("--output-tokens")] = 64,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for figures and picture.")] = None,
) -> None:
    """Drive `vllm bench serve` against a running server at several concurrencies.

    `tuneserve bench runs/shop --concurrency 1 --concurrency 16 --concurrency 64`
    """
    from configs.console import console
    from serve.bench import bench as measure

    measure(which, concurrency or [1, 8, 32, 128], prompts, input_tokens, output_tokens, out, console)

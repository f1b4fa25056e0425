"""`tuneserve bench`: throughput and latency of a served run, by vLLM's own benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from scripts.verbs.serve import split_arguments


def bench(
    context: typer.Context,
    which: Annotated[
        str, typer.Argument(help="A running server: run directory, model name or port; with --start a run or folder.")
    ],
    rest: Annotated[
        list[str] | None,
        typer.Argument(help="With --start: serve.key=value ...; after `--`, arguments for vLLM as they are."),
    ] = None,
    concurrency: Annotated[
        list[int] | None, typer.Option("--concurrency", help="Requests in flight; repeatable.")
    ] = None,
    prompts: Annotated[
        int, typer.Option("--prompts", help="Requests at each concurrency, at most 25 for each in flight.")
    ] = 200,
    input_tokens: Annotated[int, typer.Option("--input-tokens")] = 512,
    output_tokens: Annotated[int, typer.Option("--output-tokens")] = 64,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for figures and picture.")] = None,
    start: Annotated[bool, typer.Option("--start", help="Start the server, measure it, stop it.")] = False,
    cold: Annotated[
        bool,
        typer.Option("--cold", help="With --start: once with an empty compile cache, then again with what is left."),
    ] = False,
    adapter: Annotated[
        bool,
        typer.Option("--adapter", help="With --start: base and adapter from one process; after the merged weights."),
    ] = False,
    rank: Annotated[
        int, typer.Option("--rank", help="With --adapter: rank of the blank adapter of a plain folder.")
    ] = 16,
) -> None:
    """Drive `vllm bench serve` against a running server at several concurrencies.

    `tuneserve bench runs/shop --concurrency 1 --concurrency 16 --concurrency 64`

    `tuneserve bench runs/shop --start --cold` · `tuneserve bench runs/shop --start --adapter`

    `tuneserve bench ./shape-only --start -- --load-format dummy`
    """
    from configs.terminal.console import console
    from serve.bench.running import Load
    from serve.bench.running import bench as measure
    from serve.bench.started import bench_started

    load = Load(tuple(concurrency or Load.concurrencies), prompts, input_tokens, output_tokens)
    own, extra = split_arguments([*(rest or []), *context.args])
    if start:
        bench_started(which, load, out, console, adapter=adapter, rank=rank, cold=cold, overrides=own, extra=extra)
        return
    if own or extra or cold or adapter:
        raise ConfigError(
            f"{' '.join([*own, *extra]) or '--cold and --adapter'}: a running server is measured as it is",
            "add --start to have one started",
        )
    measure(which, load, out, console)

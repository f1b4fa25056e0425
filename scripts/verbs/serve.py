"""`tuneserve serve`: a run or a model folder behind vLLM's OpenAI server; status, logs, stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from configs.errors import ConfigError
from configs.run.rundir import RunDir
from configs.terminal.console import asked_for, console, ours, plain, print_error, show
from serve.state.servers import ServerState


def serve(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(help="A run directory, a model folder or a hub id; or status, logs, stop.")
    ] = None,
    rest: Annotated[
        list[str] | None, typer.Argument(help="serve.key=value ...; after `--`, arguments for vLLM as they are.")
    ] = None,
    adapter: Annotated[bool, typer.Option("--adapter", help="Base and adapter from one process, both names.")] = False,
    adapters: Annotated[
        bool, typer.Option("--adapters", help="Adapters of several runs over one base: NAME=RUN NAME=RUN ...")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Serve in the background and return when ready.")] = False,
    print_only: Annotated[
        bool, typer.Option("--print-only", help="Print the command line (a GGUF file: llama.cpp's too) and stop.")
    ] = False,
    name: Annotated[str | None, typer.Option("--name", help="Model name of a plain folder.")] = None,
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="Default mode of a plain folder.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="The run that a model folder was exported from: check it against.")
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check parity and proof when it comes up.")] = True,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="With logs: show new lines as they come.")] = False,
) -> None:
    """Serve a run's merged weights, its adapter, or any model folder.

    `tuneserve serve runs/shop serve.port=8001 -- --max-num-seqs 64`

    `tuneserve serve shop-int8 --against runs/shop`

    `tuneserve serve status` · `tuneserve serve logs [RUN] -f` · `tuneserve serve stop [RUN]`
    """
    from serve import service
    from serve.launch.job import prepare
    from serve.state.servers import damaged, status

    own, extra = split_arguments([*(rest or []), *context.args])
    match what:
        case "status":
            _print_status(status())
            for error in damaged():
                print_error(error)
            return
        case "stop":
            state = service.stop(own[0] if own else None, _ask if sys.stdin.isatty() else None)
            console.print(f"stopped {', '.join(state.names)} on port {state.port}")
            return
        case "logs":
            for line in service.logs(own[0] if own else None, follow):
                console.print(plain(line.rstrip("\n")))
            return
    overrides = [text for text in own if text.startswith("serve.")]
    named = [text for text in ([what] if what else []) + own if text not in overrides]
    llama_cpp = _llama_cpp_line(named, overrides) if print_only and not (adapter or adapters) else None
    if llama_cpp and not RunDir.open(named[0]).merged.is_dir():
        console.print(llama_cpp)
        return
    if adapters:
        job = prepare(adapters=_pairs(named), overrides=overrides, extra=extra, check=check, against=against)
    else:
        if len(named) != 1:
            raise ConfigError(
                f"expected one run or model folder, got {' '.join(named) or 'none'}",
                "vLLM's own arguments go after `--`",
            )
        job = prepare(
            named[0],
            adapter=adapter,
            overrides=overrides,
            extra=extra,
            name=name,
            thinking=thinking,
            check=check,
            against=against,
        )
    if print_only:
        console.print(job.command.shown())
        if llama_cpp:  # as a comment, so that a shell that is handed the output starts one server
            console.print(f"# {llama_cpp}")
        return
    if detach:
        service.serve_detached(job, console)
    else:
        service.serve_foreground(job, console)


def _llama_cpp_line(named: list[str], overrides: list[str]) -> str | None:
    """llama.cpp's command where one run with a GGUF file is named."""
    from serve.launch.llama_cpp import llama_cpp_line

    if len(named) != 1 or not RunDir.is_run(named[0]):
        return None
    return llama_cpp_line(RunDir.open(named[0]), overrides)


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Ours and vLLM's: everything from the first option on belongs to vLLM; click has taken `--` away."""
    cut = next((i for i, text in enumerate(arguments) if text.startswith("-")), len(arguments))
    return arguments[:cut], arguments[cut:]


def _pairs(named: list[str]) -> dict[str, str]:
    pairs = {}
    for text in named:
        name, sep, run = text.partition("=")
        if not sep or not run:
            raise ConfigError(f"--adapters {text}: expected NAME=RUN", "e.g. --adapters a=runs/a b=runs/b")
        if name in pairs:
            raise ConfigError(f"--adapters names {name} twice", "e.g. --adapters a=runs/a b=runs/b")
        pairs[name] = run
    if not pairs:
        raise ConfigError("--adapters names no run", "e.g. --adapters a=runs/a b=runs/b")
    return pairs


def _ask(state: ServerState) -> bool:
    """Whether a server of another folder is meant."""
    names = ", ".join(state.names)
    return typer.confirm(ours(f"stop {names} on port {state.port}, which serves {state.served}?").plain, default=False)


def _print_status(states: list[ServerState]) -> None:
    if not states:
        console.print("no servers")
        if not asked_for("json"):
            return
    table = Table("names", "state", "address", "pid", "served", box=None)
    for state in states:
        shown = state.state if not state.message or state.state == "ready" else f"{state.state}: {state.message}"
        table.add_row(", ".join(state.all_names), ours(shown), state.base_url, str(state.supervisor_pid), state.served)
    show(table, [{**state.model_dump(), "names": state.all_names} for state in states])

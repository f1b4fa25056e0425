"""`tuneserve`: the command line.

A config file comes first, `section.key=value` overrides after it; every later verb takes the run directory. Nothing
heavy is imported here: training runs in child processes, serving in vLLM's own.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from configs.errors import ConfigError, TuneserveError
from configs.machine import pins
from configs.process.child import hear_signals
from configs.terminal.console import OUTPUT, console, guarded
from configs.terminal.language import LANG, LANGUAGES, choose, language
from scripts.debugging import debugging
from scripts.group import group
from scripts.verbs import (
    adapters,
    bench,
    board,
    chat,
    check,
    cluster,
    compare,
    data,
    doctor,
    evaluate,
    init,
    judge,
    merge,
    run,
    runs,
    serve,
    train,
)


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"tuneserve {pins.installed('tuneserve') or 'from a checkout'}")
        raise typer.Exit


app = group(
    name="tuneserve",
    epilog="Start with `tuneserve init`, or see it work: `tuneserve run demo`.",
    no_args_is_help=True,
    # `tuneserve --install-completion` sets up completion for the shell that it is called in.
    add_completion=True,
    pretty_exceptions_enable=False,
)

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
    # `main` takes these out, wherever they stand before `--`; here they are for the help.
    as_json: Annotated[
        bool, typer.Option("--json", help="Tables as JSON lines on stdout; all else on stderr.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Results, warnings and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also what is run, and how.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks with errors.")] = False,
    lang: Annotated[
        str | None,
        typer.Option("--lang", help="Language of terminal and reports: en or zh; else TUNESERVE_LANG or LANG."),
    ] = None,
) -> None:
    """Fine-tune Qwen3 with Unsloth, merge it, serve it in vLLM, and prove what it gained and what it forgot."""


app.command("init")(init.init)
app.add_typer(data.app, name="data")
app.command("check")(check.check)
app.command("train")(train.train)
app.command("merge")(merge.merge)
app.command("serve", context_settings=PASS_THROUGH)(serve.serve)
app.add_typer(adapters.app, name="adapters")
app.command("eval")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("chat")(chat.chat)
app.command("run")(run.run)
app.command("judge")(judge.judge)
app.add_typer(runs.app, name="runs")
app.add_typer(board.app, name="board")
app.command("bench", context_settings=PASS_THROUGH)(bench.bench)
app.command("cluster")(cluster.cluster)
app.command("doctor")(doctor.doctor)


def main(args: list[str] | None = None) -> None:
    """Runs the command line and exits with its code; a `TuneserveError` becomes one message and its next step."""
    args = list(sys.argv[1:] if args is None else args)
    hear_signals()
    _open_what_is_closed()
    _own_modules_only()
    own = args[: args.index("--")] if "--" in args else args
    if "--debug" in own:
        args.remove("--debug")
        os.environ["TUNESERVE_DEBUG"] = "1"
    asked = [how for how in ("json", "quiet", "verbose") if f"--{how}" in own]
    for how in asked:
        args.remove(f"--{how}")
    if asked:
        os.environ[OUTPUT] = ",".join(asked)
    sys.exit(guarded(lambda: _run(args), debugging()))


def _open_what_is_closed() -> None:
    """Opens the standard streams that this command was started without, as by a service manager or `>&-`.

    The next files that are opened would get their numbers, and what a stage prints would be written into them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            if (descriptor := os.open(os.devnull, os.O_RDWR)) != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _no_core_file() -> None:
    """A core file would hold the API key, and lie in the working folder; what is started here inherits the limit."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ValueError, OSError) as error:
        raise TuneserveError(
            f"this system lets no process set limits for itself ({error})", "allow prlimit64 where this command runs"
        ) from error


def _own_modules_only() -> None:
    """Has all that this starts, and that those start, take no file of the working folder for a module or a library.

    `python -m trainer` in a folder with a `json.py` would run that one. A checkout that is worked in is our own.
    An empty part of LD_LIBRARY_PATH is that folder; OpenCV, which vLLM imports, makes one where it is unset.
    """
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries)) or "/"  # where only root could lay one
    try:
        here = os.getcwd()
    except FileNotFoundError:  # the folder was removed; who needs it says so
        here = ""
    if here != str(Path(__file__).resolve().parents[1]):
        os.environ["PYTHONSAFEPATH"] = "1"


def _run(args: list[str]) -> None:
    """Runs one command in the language that was asked for."""
    _no_core_file()
    if wanted := os.environ.get(LANG):
        choose(wanted, f"{LANG}=")
    take_language(args)
    command = get_command(app)
    if language() == "en":
        command(args=args, prog_name="tuneserve")
        return
    from scripts.help_texts import translated_help

    with translated_help(command):
        command(args=args, prog_name="tuneserve")


def take_language(args: list[str]) -> None:
    """Takes `--lang zh` or `--lang=zh` out of the arguments, wherever it stands before `--`, and chooses the last.

    Raises:
        ConfigError: no language follows, or one without texts.
    """
    wanted = ""
    end = args.index("--") if "--" in args else len(args)
    for at in range(end - 1, -1, -1):
        word, _, value = args[at].partition("=")
        if word != "--lang":
            continue
        taken = 1 if "=" in args[at] else 2
        if taken == 2:
            value = args[at + 1] if at + 1 < end else ""
        if not value:
            raise ConfigError("--lang names no language", f"one of: {', '.join(LANGUAGES)}")
        del args[at : at + taken]
        end -= taken
        wanted = wanted or value
    if wanted:
        choose(wanted, "--lang ")


if __name__ == "__main__":
    main()

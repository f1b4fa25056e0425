"""`tuneserve board`: a local page with the runs, the live loss, two models side by side, and blind votes."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from typing import Annotated

import typer

from configs.disk.files import file_bytes, parse_json, write_for_user
from configs.errors import ConfigError
from configs.run.rundir import RunDir
from configs.terminal.console import console, note, shell
from configs.terminal.language import language
from scripts.group import group

app = group(
    help="A local page: runs, live loss, reports, two models side by side, and a blind vote.",
    invoke_without_command=True,
)

Folder = Annotated[Path, typer.Option("--folder", help="Where the runs are.")]
PORT = 7860


@app.callback()
def board(
    context: typer.Context,
    folder: Folder = Path("runs"),
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = PORT,
) -> None:
    """Serve the board on 127.0.0.1 until Ctrl-C; the printed address opens it.

    `tuneserve board --lang zh`
    """
    if context.invoked_subcommand is not None:
        return
    import uvicorn

    from scripts.board.app import Board
    from serve.launch.ports import take_port

    lock = take_port("127.0.0.1", port, "--port ")  # held, so that what is printed is where this board will be
    started = Board(folder.resolve(), port, language(), secrets.token_urlsafe(24))
    console.print(f"the board is at {started.address}")
    console.print("it answers to this browser only; Ctrl-C ends it")
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # uvicorn takes what is raised in a request for its fault
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    uvicorn.run(
        started.app(), host="127.0.0.1", port=port, log_level="warning", access_log=False, server_header=False,
        date_header=False, timeout_graceful_shutdown=1, lifespan="off",
    )  # fmt: skip
    lock.release()


@app.command("export")
def export(
    run: Annotated[Path, typer.Argument(help="Run directory with the answers of base and tuned model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")] = Path("vote.html"),
    questions: Annotated[int, typer.Option("--questions", min=1, help="Questions to draw.")] = 30,
) -> None:
    """Write a blind vote as one HTML file, for people who cannot reach the board.

    `tuneserve board export runs/shop --out vote.html`
    """
    from scripts.board.app import vote_file
    from scripts.board.ballots import answered_pairs, make_ballot
    from scripts.board.pages import Pages

    where = RunDir.open(run)
    if out.exists():
        raise ConfigError(f"{out} exists", "name another file with --out")
    ballot = make_ballot(where, answered_pairs(where), questions)
    write_for_user(out, vote_file(ballot, Pages(language())))
    console.print(f"wrote {out} with {len(ballot.items)} questions; what comes back is counted by")
    console.print(f"  {shell('tuneserve', 'board', 'count', run)} votes-*.json")


@app.command("count")
def count(
    run: Annotated[Path, typer.Argument(help="Run directory that the vote was exported from.")],
    files: Annotated[list[Path], typer.Argument(help="Files that voters sent back.")],
) -> None:
    """Count the votes of an exported page; a person who is counted twice counts once.

    `tuneserve board count runs/shop votes-anna.json votes-li.json`
    """
    from eval.compare.votes import read_votes, tally
    from scripts.board.app import read_back
    from scripts.board.pages import Pages
    from scripts.run.votes import current_votes

    where = RunDir.open(run)
    for file in files:
        if not file.is_file():
            raise ConfigError(f"{file}: no such file", "name the files that voters sent back")
        try:
            said = parse_json(file_bytes(file))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{file}: not a file of votes: {error}", "take the file that the page saved") from error
        console.print(f"{file}: {read_back(said, [where])} votes")
    votes = current_votes(where)
    if old := len(read_votes(where.votes_file)) - len(votes):
        note(f"{old} votes are on models that this run had before it was trained again, and do not count")
    console.print(Pages(language()).sentence(tally(votes)))
    console.print(f"`{shell('tuneserve', 'compare', run)}` puts it into the report")

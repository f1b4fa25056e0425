"""`tuneserve runs`: all runs, and removing what is not needed any more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from configs.errors import ConfigError
from configs.run.rundir import RunDir
from configs.terminal.console import console, note, ours, paint, plain, show
from configs.terminal.nearest import did_you_mean
from scripts.group import group
from scripts.run.listing import UNKNOWN, Sort, find_runs, ordered, shown_size, size_of, summarize
from scripts.run.removing import Removal, removals, remove, why_kept

app = group(
    help="All runs: state, scores, size; `rm` and `prune` remove what no server uses.",
    invoke_without_command=True,
)

Folder = Annotated[Path, typer.Option("--folder", help="Where the runs are.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_STYLES = {"pass": "green", "fail": "red", "not_enough_evidence": "yellow"}


@app.callback()
def list_runs(
    context: typer.Context,
    folder: Folder = Path("runs"),
    sort: Annotated[Sort, typer.Option("--sort", help="By what they are ordered.")] = "created",
) -> None:
    """List the runs of a folder.

    `tuneserve runs --sort gain`
    """
    if context.invoked_subcommand is not None:
        return
    found = ordered([summarize(run) for run in find_runs(folder)], sort)
    table = Table(box=None)
    for title in ("run", "state", "verdict"):
        table.add_column(title)
    for title in ("gain", "kept", "size"):
        table.add_column(title, justify="right")
    table.add_column("created")
    table.add_column("served as")
    for run in found:
        table.add_row(
            plain(run.name),
            ours(
                f"{run.state}: {run.stage}"
                if run.stage and run.state in ("working", "stopped", "failed")
                else run.state
            ),
            ours(
                run.verdict.replace("_", " ") + (", with reservations" if run.reservations else ""),
                _STYLES.get(run.verdict, ""),
            ),
            f"{run.gain_points:+.1f}" if run.gain_points is not None else "",
            f"{run.kept_percent:.1f} %" if run.kept_percent is not None else "",
            shown_size(run.size_bytes),
            run.created[:16].replace("T", " "),
            ours(", ".join(run.served_as)) if UNKNOWN in run.served_as else plain(", ".join(run.served_as)),
        )
    show(table, [run.as_json() for run in found])
    for run in found:
        if run.error:
            console.print(paint("  [red]✗[/red] {}: {}", run.name, run.error))
    if not found:
        console.print(f"no runs in {folder}")


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(help="Names of runs in the folder, or their paths.")],
    folder: Folder = Path("runs"),
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Also a run that another recipe names.")] = False,
) -> None:
    """Remove whole runs: data, adapter, weights, answers, report. A run that is served is never touched.

    `tuneserve runs rm shop-2 shop-3`
    """
    runs = [_run(name, folder) for name in dict.fromkeys(names)]

    def staying() -> list[RunDir]:
        return [other for other in find_runs(folder) if other.path not in {run.path for run in runs}]

    for run in runs:
        if kept := why_kept(run, () if force else staying()):
            raise ConfigError(f"{run.path} {kept}", "nothing was removed")
    going = [Removal(run, run.path, size_of(run.path), "") for run in runs]
    _confirm(going, yes)
    for each in going:
        remove(each, staying(), force=force)  # who was asked may have taken an hour, in which one was built on it
        console.print(f"removed {each.path} ({shown_size(each.size_bytes)})")


@app.command()
def prune(
    folder: Folder = Path("runs"),
    weights: Annotated[bool, typer.Option("--weights", help="Merged weights too; `merge` makes them again.")] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Whole runs that ended before there was an adapter.")
    ] = False,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, help="Only runs of at least N days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    yes: Yes = False,
) -> None:
    """Free disk: remove the checkpoints of finished trainings and, if asked, what can be made again.

    Runs that are served, worked in, or named by another run's recipe are left alone.

    `tuneserve runs prune --weights --older-than 14`
    """

    def look() -> list[Removal]:
        runs = [(run, summarize(run)) for run in find_runs(folder)]
        return removals(runs, weights=weights, failed=failed, older_than_days=older_than)

    going = look()
    table = Table("what", "size", "why", box=None)
    for each in going:
        table.add_row(plain(each.path), shown_size(each.size_bytes), ours(each.why))
    show(table, [{"path": str(g.path), "size_bytes": g.size_bytes, "why": g.why} for g in going])
    if not going:
        console.print("nothing to remove")
        return
    if dry_run:
        return
    _confirm(going, yes)
    # Who was asked may have taken an hour, in which a run that had failed was finished.
    still = {(each.path, each.why) for each in look()}
    for each in going:
        if (each.path, each.why) not in still:
            note(f"{each.path} is not what it was when it was shown, and stays")
    going = [each for each in going if (each.path, each.why) in still]
    for each in going:
        remove(each, find_runs(folder))
    console.print(f"freed {shown_size(sum(each.size_bytes for each in going))}")


def _run(name: str, folder: Path) -> RunDir:
    for place in (folder / name, Path(name)):
        if RunDir.is_run(place):
            return RunDir(place if place.is_symlink() else place.resolve())
    known = [run.path.name for run in find_runs(folder)]
    raise ConfigError(
        f"{name}: no run of that name in {folder}", did_you_mean(name, known) or "`tuneserve runs` lists them"
    )


def _confirm(going: list[Removal], yes: bool) -> None:
    total = shown_size(sum(each.size_bytes for each in going))
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{total} would be removed, and nobody is there to say yes", "give --yes")
    named = ", ".join(str(each.path) for each in going[:5]) + (" ..." if len(going) > 5 else "")
    if not typer.confirm(ours(f"remove {named} ({total})?").plain, default=False):
        raise typer.Exit(1)

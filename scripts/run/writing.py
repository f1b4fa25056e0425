"""The progress line while a served model writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from configs.terminal.console import asked_for, console
from configs.terminal.messages import translated

_PLAIN_EVERY_S = 15.0


@contextmanager
def writing_progress(stage: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal; elsewhere a line for each batch that takes long enough to be wondered about.

    What it gives is called with what is written, how much is done, and how much there is.
    """
    if asked_for("quiet"):
        yield lambda what, done, total: None
        return
    if not console.is_terminal:
        said = time.monotonic()

        def plain(what: str, done: int, total: int) -> None:
            nonlocal said
            if time.monotonic() - said >= _PLAIN_EVERY_S:
                said = time.monotonic()
                console.print(f"  writing {what}: {done}/{total}", style="dim")

        yield plain
        return
    columns = (
        TextColumn(translated(f"{stage} writing {{task.description}}", ours=True)),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        row = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            row, completed=done, total=total, description=translated(what, ours=True)
        )

"""A folder that appears only when it is complete: free space first, a marked partial folder, then its name."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from configs.console import console
from configs.errors import ConfigError, TuneserveError

MARK = ".tuneserve-partial"
"""Lies in an unfinished folder, and shows that it may be removed."""

OnProgress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


@dataclass(frozen=True)
class Export:
    """A model that is to be written: whose files it takes over, where it goes, and how it is divided."""

    model: Path
    """The 16-bit model folder whose config.json, tokenizer and other files are taken over."""
    out: Path
    """The folder to write; must not exist or be empty, or, with `redo`, is replaced when the new one is complete."""
    end_token_id: int | None = None
    """The end-of-turn token that was trained; generation stops at it from now on."""
    shard_gb: float = 5.0
    """Largest weight file, in GB of 1e9 bytes; the model's own division is kept below that."""
    on_progress: OnProgress | None = None
    redo: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model.resolve())
        object.__setattr__(self, "out", self.out.resolve())


@contextmanager
def new_folder(out: Path, needed: int, redo: bool = False) -> Iterator[Path]:
    """Gives a partial folder to write into, which becomes `out` at the end; an error leaves nothing of it.

    Args:
        out: must not exist or be empty; with `redo` it may hold an older result, replaced once the new one is complete.
        needed: bytes that will be written.

    Raises:
        ConfigError: `out` holds files, or something that is no unfinished work has the partial folder's name.
        TuneserveError: the disk is too small, or filled up on the way.
    """
    if out.exists() and not redo and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is not empty; nothing is written into a folder that has files", "give a new folder")
    partial = out.with_name(out.name + ".partial")
    if partial.exists():
        if not (partial / MARK).is_file():
            raise ConfigError(
                f"{partial}: is in the way, and not unfinished work", "move it away, or give another folder"
            )
        shutil.rmtree(partial)  # left by a kill
    check_free_space(out, needed)
    try:
        partial.mkdir(parents=True)
        (partial / MARK).touch()
        yield partial
        _put_in_place(partial, out, redo)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise disk_full(out, needed) from error
        raise


def check_free_space(out: Path, needed: int) -> None:
    """Raises a TuneserveError when the disk of `out` has no room for `needed` bytes, 2 % to spare."""
    folder = next(p for p in out.resolve().parents if p.exists())
    free = shutil.disk_usage(folder).free
    if free < needed * 1.02:
        raise TuneserveError(
            f"{out}: needs {_size(needed)}, but its disk has {_size(free)} free",
            "free space, or write to another disk (output_dir, --save-as)",
        )


def disk_full(out: Path, needed: int) -> TuneserveError:
    """What to say when the disk filled up on the way."""
    return TuneserveError(
        f"{out}: the disk filled up while {_size(needed)} were being written; the unfinished files were removed",
        "free space, or write to another disk (output_dir, --save-as)",
    )


@contextmanager
def shown_progress(title: str) -> Iterator[OnProgress]:
    """A bar with bytes, speed and time left; without a terminal a plain line at every tenth of more than a GB."""
    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, disable=quiet) as bar:
        task, tenth = bar.add_task(title, total=None), 0

        def on_progress(done: int, total: int) -> None:
            nonlocal tenth
            bar.update(task, completed=done, total=total)
            if quiet and total > 1e9 and done * 10 // total > tenth:
                tenth = done * 10 // total
                console.print(f"{title}: {tenth * 10} % of {_size(total)}")

        yield on_progress


def _put_in_place(partial: Path, out: Path, redo: bool) -> None:
    old = out.with_name(out.name + ".old")
    if redo and out.exists():
        if old.exists():  # left by a kill between the two renames
            shutil.rmtree(old)
        out.rename(old)
    partial.rename(out)
    (out / MARK).unlink()
    if redo and old.exists():
        shutil.rmtree(old)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"

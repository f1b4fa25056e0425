"""A folder that appears only when it is complete: free space first, a marked partial folder, then its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from configs.disk.files import found_no_room, sync_folder
from configs.disk.locks import locked
from configs.errors import ConfigError, TuneserveError
from configs.terminal.console import console, ours
from configs.terminal.messages import translated

MARK = ".tuneserve-partial"
"""Lies in a folder of ours that is unfinished, or whose removal is: it may be removed."""

OnProgress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


@dataclass(frozen=True)
class Export:
    """A model that is to be written: whose files it takes over, where it goes, and how it is divided.

    Raises:
        ConfigError: the working folder lies in the one that is to be written.
    """

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
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Small files that lie in the new folder, too, by their names."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model.resolve())
        object.__setattr__(self, "out", self.out.resolve())
        if Path.cwd().is_relative_to(self.out):
            # Another folder takes its name at the end: the caller's shell would stand in one that is gone.
            raise ConfigError(
                f"{self.out}: the working folder lies in it", "give a folder of its own, or call from elsewhere"
            )

    def put_beside(self, folder: Path) -> None:
        """Writes these files into the new folder while it has no name yet: a kill leaves all of them, or none."""
        for name, content in self.beside.items():
            (folder / name).write_bytes(content)


@contextmanager
def new_folder(out: Path, needed: int, redo: bool = False) -> Iterator[Path]:
    """Gives a partial folder to write into, which becomes `out` at the end; an error leaves nothing of it.

    What a kill leaves is marked as ours at every moment, so that the next call can clear it away.

    Args:
        out: must not exist or be empty; with `redo` it may hold an older result, replaced once the new one is complete.
        needed: bytes that will be written.

    Raises:
        ConfigError: `out` holds files, or something that is no unfinished work has the name of a folder of ours.
        TuneserveError: another process writes `out`, or the disk is too small, or filled up on the way.
    """
    partial, old = out.with_name(out.name + ".partial"), out.with_name(out.name + ".old")
    _require_ours(partial)
    partial.mkdir(parents=True, exist_ok=True)
    busy = TuneserveError(f"{out}: another process is writing it", "wait for it, or give another folder")
    with locked(partial, busy, make=False):
        try:
            _require_writable(out, old, redo)
            (partial / MARK).touch()
            _clear(partial)
            check_free_space(out, needed)
            yield partial
            sync_folder(partial)  # what took hours is there after a power cut, too
            _put_in_place(partial, out, old)
        except BaseException as error:
            _remove(partial)
            if found_no_room(error) and not isinstance(error, TuneserveError):
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
        f"{out}: the disk filled up, or `ulimit -f` was reached, while {_size(needed)} were being written; "
        "the unfinished files were removed",
        "free space, or write to another disk (output_dir, --save-as)",
    )


@contextmanager
def shown_progress(title: str) -> Iterator[OnProgress]:
    """A bar with bytes, speed and time left; without a terminal a plain line at every tenth of more than a GB."""
    what = translated(title, ours=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, disable=quiet) as bar:
        task, tenth = bar.add_task(title, total=None), 0

        def on_progress(done: int, total: int) -> None:
            nonlocal tenth
            bar.update(task, completed=done, total=total)
            if quiet and total > 1e9 and done * 10 // total > tenth:
                tenth = done * 10 // total
                console.print(ours(f"{title}: {tenth * 10} % of {_size(total)}"))

        yield on_progress


def _require_writable(out: Path, old: Path, redo: bool) -> None:
    if redo:
        _require_ours(old)
    elif out.exists() and not _is_ours(out):
        raise ConfigError(f"{out}: is not empty; nothing is written into a folder that has files", "give a new folder")


def _require_ours(folder: Path) -> None:
    if folder.exists() and not _is_ours(folder):
        raise ConfigError(f"{folder}: is in the way, and not unfinished work", "move it away, or give another folder")


def _is_ours(folder: Path) -> bool:
    """Whether a folder may be cleared: it is marked, or empty, which is all that a kill leaves without the mark."""
    return folder.is_dir() and ((folder / MARK).is_file() or not any(folder.iterdir()))


def _put_in_place(partial: Path, out: Path, old: Path) -> None:
    if out.is_symlink():  # of what lies where it leads, not all may be ours
        out.unlink()
    elif out.exists() and any(out.iterdir()):
        (out / MARK).touch()
        _remove(old)
        out.rename(old)
    partial.rename(out)
    (out / MARK).unlink()
    if old.exists() and _is_ours(old):
        _remove(old)


def _clear(folder: Path) -> None:
    """Removes everything but the mark."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != MARK:
            entry.unlink()


def _remove(folder: Path) -> None:
    """Removes a folder of ours, its mark last, so that a kill on the way leaves one that is known."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        _clear(folder)
        (folder / MARK).unlink(missing_ok=True)
        folder.rmdir()


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"

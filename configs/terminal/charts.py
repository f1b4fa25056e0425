"""Charts that look the same wherever they are drawn: matplotlib without anybody's settings."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def chart(file: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, which is written to `file` (PNG) when what draws on it is done.

    matplotlib obeys a `matplotlibrc` of the working folder, which may have come with somebody's data: it can ask for
    gigabytes, for LaTeX, or be a pipe that is waited for. It is imported from elsewhere, and its own defaults hold.
    """
    with _elsewhere():
        import matplotlib
        from matplotlib.figure import Figure
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        try:
            figure.savefig(partial, dpi=120, format="png")
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Works in matplotlib's own folder meanwhile; a working folder that was removed is come back to all the same."""
    package = importlib.util.find_spec("matplotlib")
    here = os.open(".", os.O_PATH)
    try:
        if package is not None and package.origin is not None:
            os.chdir(Path(package.origin).parent)
        yield
    finally:
        os.fchdir(here)
        os.close(here)

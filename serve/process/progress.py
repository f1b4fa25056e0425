"""Shows what a starting server does: one live line on a terminal, one plain line a phase elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.status import Status

from configs.terminal.console import ours


class StartDisplay:
    """Pass `on_phase` to a server, and use this as a context manager around its start."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._status: Status | None = None
        self._phase = ""

    def on_phase(self, phase: str, elapsed_s: float) -> None:
        """Updates the line."""
        line = ours(f"starting vLLM: {phase} ({elapsed_s:.0f} s)")
        if self._status is not None:
            self._status.update(line)
        elif phase != self._phase:
            self.console.print(" ", line)
        self._phase = phase

    def __enter__(self) -> StartDisplay:
        if self.console.is_terminal:
            self._status = self.console.status(ours("starting vLLM"))
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

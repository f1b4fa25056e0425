"""Servers for as long as a block runs: what the stages of a run need."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import psutil

from configs.machine.gpus import Card, visible_cards
from configs.recipe.schema import ServeConfig
from configs.terminal.console import Terminal, console
from eval.ask.endpoint import Endpoint
from serve.launch.cards import on_free_cards, only
from serve.launch.command import ServerCommand, build_command
from serve.launch.target import Target
from serve.process.progress import StartDisplay
from serve.process.server import VllmServer


def start_server(command: ServerCommand, log: Path, ready_timeout_s: float, *, shows: bool = True) -> VllmServer:
    """Starts a server and returns it once it has answered a real chat; one line shows the phase and the seconds.

    Raises:
        StartFailed: with the cause found in the log.
        TuneserveError: the port is taken.
    """
    with StartDisplay(console if shows else Terminal(quiet=True)) as display:
        server = VllmServer(command, log, ready_timeout_s, display.on_phase)
        return server.__enter__()


def endpoint_of(server: VllmServer, model: str, label: str) -> Endpoint:
    """A server of ours, as it is asked: nobody starts it again where it has ended."""
    command = server.command
    key = {"api_key_env": command.api_key_env} if command.api_key_env else {}
    return Endpoint(command.base_url, model, label, gone=lambda: not server.alive, **key)


class OnDemand:
    """A server for ourselves only that several stages share: started by the first of them that needs it, if any does.

    with OnDemand(lambda: base_target(run, config), config.serve, run.logs / "serve-base.log") as base:
        base.up().client.post(...)

    Stopped at the end of the block, whatever happens in it; of one that ended before, the cause is said.
    """

    def __init__(
        self, target: Callable[[], Target], config: ServeConfig, log: Path, cards: Sequence[Card] = ()
    ) -> None:
        self._target = target
        self._config = config
        self._log = log
        self._server: VllmServer | None = None
        self._starting = threading.Lock()
        self.cards = cards
        """GPUs that are kept for it; without any it takes free ones."""

    def up(self, *, shows: bool = True) -> VllmServer:
        """The server, ready; threads that ask at once get the same one. Raises what `start_server` raises.

        Args:
            shows: whether its start is shown on the terminal.
        """
        with self._starting:
            if self._server is None:
                command = private_command(self._target(), self._config, self.cards)
                self._server = start_server(command, self._log, self._config.ready_timeout_s, shows=shows)
            return self._server

    def down(self) -> None:
        """Stops the server where it is up, and gives its memory back; the next who needs it starts it again."""
        if self._server is not None:
            server, self._server = self._server, None
            server.stop()

    def __enter__(self) -> OnDemand:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.__exit__(kind, error, trace)


def private_command(target: Target, config: ServeConfig, cards: Sequence[Card] = ()) -> ServerCommand:
    """The recipe's server on a free port of the loopback interface, for the stages of a run.

    Args:
        target: what is served.
        config: the `serve` section.
        cards: GPUs to take; without any, free ones.
    """
    private = config.model_copy(update={"host": "127.0.0.1", "port": _free_port()})
    command = build_command(target, private, available_ram=psutil.virtual_memory().available)
    if cards:
        return replace(command, env={**command.env, **only(cards)})
    return on_free_cards(command, private, visible_cards() if command.device == "cuda" else [])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Keeps a server up: started, watched, restarted after a crash, ended in order.

A start that fails for a reason that will be there next time too (a bad flag, a taken port, a context that does not
fit) is never repeated. A crash is, with a growing wait, until too many came without a stable time between.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from configs.errors import ConfigError, TuneserveError
from serve.api.adapters import load_adapter, served_models, unload_adapter
from serve.api.client import Refused
from serve.launch.command import ServerCommand
from serve.launch.ports import take_port
from serve.process.causes import Cause, find_cause
from serve.process.server import OnPhase, StartFailed, VllmServer
from serve.state.adapters import changes, forget_all, is_still, note_change, take_out_unproved
from serve.state.identity import began
from serve.state.port_lock import PortLock
from serve.state.servers import Phase, ServerState, known_state, write_state

TICK_S = 0.2
"""Seconds between two looks at the process."""
WATCH_S = 5.0
"""Seconds between two looks at `/health`."""
MISSED_LIMIT = 6
"""Looks in a row that may fail before the server counts as hung: half a minute."""
BUSY_LIMIT = 60
"""The same while it computes, for long prompts or logprobs, and lets everybody wait: five minutes."""
BUSY_SHARE = 0.1
"""Of a processor; who takes more while it is waited for computes."""
STABLE_S = 600.0
"""After this long without a crash, earlier ones are forgotten."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0

Say = Callable[[str], None]


class Supervisor:
    """Runs one server until it is told to stop.

    Args:
        command: what is served.
        served: run directory or model folder, for `serve status`.
        log: vLLM's log.
        max_restarts: crashes in a row after which it stays down.
        ready_timeout_s: give up on a start after this long.
        say: told about restarts, one sentence each.
        on_phase: told what a start is doing.
        accept: looks at the server when it is ready, also after a crash; by raising a TuneserveError it refuses it.
        lock: the lock of its port, where the caller has taken it. The state file is written under the lock only, so
            that of two servers for one port the one that is refused leaves the other's file alone.
    """

    def __init__(
        self,
        command: ServerCommand,
        served: Path,
        log: Path,
        max_restarts: int = 3,
        ready_timeout_s: float = 1200,
        say: Say = print,
        on_phase: OnPhase | None = None,
        accept: Callable[[VllmServer], None] | None = None,
        lock: PortLock | None = None,
    ) -> None:
        self.command = command
        self.accept = accept
        self.log = log
        self.max_restarts = max_restarts
        self.ready_timeout_s = ready_timeout_s
        self.say = say
        self.on_phase = on_phase
        self.stop_wish = threading.Event()
        """Set it to end the server in order."""
        self.server: VllmServer | None = None
        self._lock = lock
        me = os.getpid()
        self.state = ServerState(
            state="starting",
            supervisor_pid=me,
            supervisor_began=began(me) or "",
            port=command.port,
            base_url=command.base_url,
            names=list(command.names),
            served=str(served.resolve()),
            log=str(log.resolve()),
            weights=str(command.target.weights),
            argv=list(command.argv),
            api_key_env=command.api_key_env,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def start(self) -> VllmServer:
        """Starts the server and waits until it is ready; one attempt.

        Raises:
            StartFailed: with its cause.
            TuneserveError: the port is taken, or the server was not accepted.
            KeyboardInterrupt: the wish to stop came while it started.
        """
        if self._lock is None:
            self._lock = take_port(self.command.host, self.command.port)
        server = VllmServer(self.command, self.log, self.ready_timeout_s, self._note_phase, lock=self._lock)
        self.server = server
        try:
            # Who removes runs leaves alone what a state names; what went before that is not started.
            self._note("starting")
            self._require_there()
            server.start()
            self._note("starting", server_pid=server.pid)
            ready_s = server.wait_ready()
            first = self.state.restarts == 0
            if first:
                forget_all(self.command.port)
            if self.accept:
                self._note("starting" if first else "restarting", phase="checks")
                self.accept(server)
            if not first:
                self._change_again(server)
        except TuneserveError as error:
            said = server.ended(error) or error
            server.stop(grace_s=5)
            self._note("failed", server_pid=None, message=said.message, next_step=said.next_step)
            self._release_after_first_start()
            raise said from error.__cause__
        except BaseException:
            server.stop(grace_s=5)
            self._note("stopped", server_pid=None)
            self._release_after_first_start()
            raise
        self._note("ready", ready_s=ready_s, phase="")
        return server

    def watch(self, server: VllmServer) -> None:
        """Watches a ready server, restarting it after crashes, until `stop_wish` is set; then ends it in order.

        Raises:
            StartFailed: it crashed too often, or a restart failed for a lasting reason.
        """
        self.server = server
        if self._lock is None:
            self._lock = server.lend_lock()
        try:
            self._watch(server)
        finally:
            self._lock.release()

    def _release_after_first_start(self) -> None:
        if self.state.restarts == 0 and self._lock is not None:
            self._lock.release()
            self._lock = None

    def _watch(self, server: VllmServer) -> None:
        if self.state.state != "ready":  # handed over; what an earlier server on this port had loaded is not in it
            forget_all(self.command.port)
            self._note("ready", server_pid=server.pid, phase="")
        crashes = 0
        while True:
            up_since = time.monotonic()
            cause = self._until_crash(server)
            if cause is None:
                self._note("stopping")
                server.stop()
                self._note("stopped", server_pid=None)
                return
            server.stop(grace_s=5)
            crashes = 1 if time.monotonic() - up_since > STABLE_S else crashes + 1
            server = self._restart(cause, crashes)

    def _restart(self, cause: Cause, crashes: int) -> VllmServer:
        """Starts again after a crash, waiting longer each time; a start that may work later counts as a crash too."""
        while True:
            if crashes > self.max_restarts:
                failed = StartFailed(
                    # It was up before, so the settings are good: worth another try, whatever ended it.
                    Cause(cause.kind, f"{cause.message} (crash {crashes} in a row)", cause.next_step, retry=True),
                    self.log,
                )
                self._note("failed", server_pid=None, message=failed.message, next_step=failed.next_step)
                raise failed
            wait = min(FIRST_WAIT_S * 2 ** (crashes - 1), LONGEST_WAIT_S)
            self._tell(f"{cause.message}; starting again in {wait:.0f} s ({crashes} of {self.max_restarts})")
            self._note("restarting", server_pid=None, restarts=self.state.restarts + 1, message=cause.message)
            if self.stop_wish.wait(wait):
                self._note("stopped")
                raise SystemExit(0)
            try:
                server = self.start()
            except StartFailed as error:
                if not error.cause.retry:
                    raise
                cause = error.cause
                crashes += 1
                continue
            self._tell(f"ready again after {server.ready_s:.0f} s")
            return server

    def _change_again(self, server: VllmServer) -> None:
        """Adapters that came or went while the server ran are not on its command line; a restart has lost that."""
        port = self.command.port
        try:
            changed = changes(port)
        except ConfigError as error:
            self._tell(f"the restarted server has the adapters of its start only: {error.message}")
            return
        for name, path in changed.items():
            try:
                if any(model.name == name for model in served_models(server.client)):
                    unload_adapter(server.client, name)
                if path and not is_still(path):
                    raise ConfigError(
                        f"{name} was left out: {os.path.realpath(path)} holds another adapter than it was loaded from",
                        "load it again: it is proved then",
                    )
                if path:
                    load_adapter(server.client, name, path)
            except ConfigError as error:
                note_change(port, name, None)
                self._tell(f"after the restart {error.message}; {error.next_step}")

    def _until_crash(self, server: VllmServer) -> Cause | None:
        """Waits for the wish to stop (None) or for the server's death or silence (the cause)."""
        missed, idle, next_look = 0, 0, time.monotonic() + WATCH_S
        while not self.stop_wish.wait(TICK_S):
            if not server.alive:
                return find_cause(server.log_text(), server.exit_code)
            if time.monotonic() < next_look:
                continue
            next_look = time.monotonic() + WATCH_S
            if known_state(self.command.port) != self.state:  # damaged or removed by somebody
                self._write_again()
            began_s, used_s = time.monotonic(), server.cpu_s
            try:
                server.client.get("/health", WATCH_S)
                missed = idle = 0
                take_out_unproved(self.command.port, lambda name: self._take_out(server, name))
            except Refused as error:
                computes = server.cpu_s - used_s > BUSY_SHARE * (time.monotonic() - began_s)
                missed, idle = missed + 1, 0 if computes and error.status is None else idle + 1
            if idle >= MISSED_LIMIT or missed >= BUSY_LIMIT:
                return Cause("hung", f"/health did not answer {missed} times in a row", "see the log", retry=True)
        return None

    def _take_out(self, server: VllmServer, name: str) -> bool:
        if all(model.name != name for model in served_models(server.client)):
            return False
        try:
            unload_adapter(server.client, name)
        except ConfigError as error:  # somebody took it out meanwhile, or the next look finds it again
            self._tell(error.message)
            return False
        self._tell(f"{name} was taken out: the command that loaded it ended before it was proved")
        return True

    def _tell(self, text: str) -> None:
        """Says it where it can be said: a full disk or a closed pipe, at which rich ends a program, ends no server."""
        with suppress(OSError, SystemExit):
            self.say(text)

    def _write_again(self) -> None:
        try:
            write_state(self.state)
        except OSError as error:  # a full disk must not end a server that answers
            self._tell(f"the state file cannot be written: {error}; `tuneserve serve status` does not know this server")

    def _require_there(self) -> None:
        target = self.command.target
        for folder in (target.weights, *(adapter.folder for adapter in target.adapters)):
            if not folder.is_dir():
                raise ConfigError(
                    f"{folder} was removed while the server started", "have it made again, then start the server"
                )

    def _note_phase(self, phase: str, elapsed_s: float) -> None:
        if self.stop_wish.is_set():
            raise KeyboardInterrupt
        if phase != self.state.phase:
            self._note("starting" if self.state.restarts == 0 else "restarting", phase=phase)
        if self.on_phase:
            self.on_phase(phase, elapsed_s)

    def _note(self, state: Phase, **changes: object) -> None:
        self.state = self.state.model_copy(update={"state": state, **changes})
        if state in ("starting", "ready") and self.state.restarts == 0:  # who starts a server hears why it cannot be
            write_state(self.state)
        else:
            self._write_again()


@contextmanager
def stop_on_signals(supervisor: Supervisor) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP ask the supervisor to end the server in order; a second one ends it at once.

    Where SIGHUP is ignored (`nohup`) it stays ignored: the server is to outlive its terminal.
    """

    def wish(number: int, frame: FrameType | None) -> None:
        if supervisor.stop_wish.is_set():
            server = supervisor.server
            if server is not None and server.pid is not None and server.alive:
                os.killpg(server.pid, signal.SIGKILL)
        supervisor.stop_wish.set()

    numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, wish) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The verbs: serve in the foreground or detached, keep or hand over a running server, stop, show logs.

The command line calls these; each prints what it does on the console it is given.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console
from rich.text import Text

from configs.disk.files import only_a_file
from configs.errors import EXIT_FAILED, TuneserveError
from configs.model.fingerprint import files_fingerprint, weights_fingerprint
from configs.process.child import end
from configs.run.merged import require_current, require_exported
from configs.run.rundir import RunDir
from configs.terminal.console import Terminal, mark, ours, paint, plain
from configs.terminal.language import LANG
from serve.launch.job import ServeJob
from serve.launch.ports import take_port
from serve.launch.preflight import preflight, require
from serve.launch.usage import usage_text
from serve.process.causes import log_since
from serve.process.guarded import Handle
from serve.process.progress import StartDisplay
from serve.process.server import VllmServer
from serve.process.supervisor import Supervisor, stop_on_signals
from serve.proof.verify import ServedChecks, verify
from serve.state.port_lock import PortLock, is_held
from serve.state.servers import ServerState, find_server, find_to_change, forget_failed, known_state

JOB = TypeAdapter(ServeJob)
FROM = TypeAdapter(Handle | int)
"""What a background process goes on from: a running server, or, to start one, the descriptor of the port's lock."""

STOP_TIMEOUT_S = 120.0
BACKGROUND_S = 60.0
"""What a background process gets to say that it has begun."""


def look_before(job: ServeJob, console: Console) -> None:
    """Preflight: prints warnings, raises a ConfigError for what would stop the server."""
    findings = preflight(job.command, job.config)
    for finding in findings:
        if finding.level == "warning":
            console.print(paint("[yellow]warning:[/yellow] {}; {}", finding.message, finding.next_step))
    require(findings)


def serve_foreground(job: ServeJob, console: Console) -> None:
    """Serves until Ctrl-C or SIGTERM; returns when nothing of the server is left.

    Raises:
        TuneserveError: it does not start, is not what was trained, or crashed too often.
    """
    look_before(job, console)
    console.print(plain(job.command.shown(), "dim"))
    display = StartDisplay(console)
    supervisor = _supervisor(job, console, display)
    with stop_on_signals(supervisor):
        try:
            with display:
                server = supervisor.start()
        except KeyboardInterrupt:
            console.print("stopped before it was ready")
            return
        console.print("", usage_text(job.command, "Ctrl-C"), "", sep="\n")
        supervisor.watch(server)
    console.print("server stopped")


def keep_running(job: ServeJob, server: VllmServer, console: Console) -> None:
    """Watches a server that is already up, until Ctrl-C or SIGTERM, then stops it."""
    supervisor = _supervisor(job, console, accepted=True)
    with stop_on_signals(supervisor):
        console.print(usage_text(job.command, "Ctrl-C"))
        supervisor.watch(server)
    console.print("server stopped")


def serve_detached(job: ServeJob, console: Console) -> ServerState:
    """Starts a supervisor of its own in the background and returns once the server is ready.

    Raises:
        TuneserveError: it does not start; nothing is left running then.
    """
    look_before(job, console)
    console.print(plain(job.command.shown(), "dim"))
    said_before = job.supervisor_log.stat().st_size if job.supervisor_log.exists() else 0
    lock = take_port(job.command.host, job.command.port)  # here, so that a refusal is heard here
    try:
        daemon = _spawn_daemon(job, lock.descriptor, (lock.descriptor,))
    finally:
        lock.release()
    try:
        with StartDisplay(console) as display:
            state = _await_ready(job, daemon, display)
    except BaseException:
        end(daemon, STOP_TIMEOUT_S)
        raise
    for line in log_since(job.supervisor_log, said_before).strip().splitlines():
        marked = line[:2] if line[:2] in ("✓ ", "✗ ") else ""
        console.print(Text(marked) + ours(line[len(marked) :]))
    console.print(usage_text(job.command, f"tuneserve serve stop {job.command.port}"))
    return state


def detach_running(job: ServeJob, server: VllmServer, console: Console) -> ServerState:
    """Hands a server that is already up over to a supervisor in the background, without a restart."""
    handle = server.hand_over()
    daemon = _spawn_daemon(job, handle, handle.descriptors)
    for descriptor in handle.descriptors:
        os.close(descriptor)
    try:
        state = _await_ready(job, daemon, StartDisplay(console))
    except BaseException:
        end(daemon, STOP_TIMEOUT_S)
        raise
    console.print(usage_text(job.command, f"tuneserve serve stop {job.command.port}"))
    return state


def stop(which: str | Path | None = None, confirm: Callable[[ServerState], bool] | None = None) -> ServerState:
    """Stops a server by run, folder, port or name, and returns its last state once nothing of it is left.

    Args:
        which: None takes the only server there is, where it serves something of this folder.
        confirm: asked before a server of another folder is stopped that was not named; None refuses.

    Raises:
        ConfigError: there is no such server, or several, or it is another folder's and not confirmed.
        TuneserveError: its supervisor does not end, or something of the server is left.
    """
    state = find_to_change(which, "tuneserve serve stop", confirm)
    if not state.alive:
        forget_failed(state.port)
        return state
    try:
        os.kill(state.supervisor_pid, signal.SIGTERM)
    except PermissionError:
        raise TuneserveError(
            f"the server on port {state.port} belongs to another user (process {state.supervisor_pid})",
            f"as that user: `tuneserve serve stop {state.port}`",
        ) from None
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while state.alive or is_held(state.port):
        if time.monotonic() > deadline:
            raise TuneserveError(
                f"the supervisor {state.supervisor_pid} did not end within {STOP_TIMEOUT_S:.0f} s",
                f"kill -9 {state.supervisor_pid}; the server goes with it",
            )
        if not state.alive and _another(state):
            break
        time.sleep(0.1)
    return known_state(state.port) or state


def _another(state: ServerState) -> bool:
    """Whether another server has been started on the port since."""
    now = known_state(state.port)
    return now is not None and now.supervisor_began != state.supervisor_began


def logs(which: str | Path | None = None, follow: bool = False, lines: int = 50) -> Iterator[str]:
    """The last lines of a server's log, then, with `follow`, each new one until its supervisor ends."""
    state = find_server(which)
    log = Path(state.log)
    with log.open(encoding="utf-8", errors="replace") as handle:
        yield from deque(handle, lines)
        while follow:
            line = handle.readline()
            if line:
                yield line
            elif state.alive:
                time.sleep(0.2)
            else:
                return


def check_and_record(job: ServeJob, server: VllmServer) -> Iterator[tuple[str, ServedChecks]]:
    """Checks each name of a ready server that has a run against it, and writes what was found into its manifest.

    Into that of somebody else's run nothing is written.
    """
    if not job.check:
        return
    runs = job.beside or ({job.command.target.name: job.run} if job.run else {})
    for name, path in runs.items():
        run = RunDir.open(path)
        checks = verify(run, run.config(), server, name, rounded=job.rounded)
        own = bool(job.beside) or job.served.resolve() == run.path.resolve()
        if run.is_writable and own:
            run.update(served=checks.figures())
        elif run.is_writable:
            run.update(exported={str(job.served): checks.figures()})
        yield name, checks


def run_daemon(job: ServeJob, start_from: Handle | int) -> None:
    """What the background process does: supervise, from a start or from a hand-over."""
    console = Terminal(soft_wrap=True)
    lock = PortLock.inherit(job.command.port, start_from) if isinstance(start_from, int) else None
    supervisor = _supervisor(job, console, lock=lock, accepted=lock is None)
    with stop_on_signals(supervisor):
        running = VllmServer.adopt(job.command, job.log, start_from) if isinstance(start_from, Handle) else None
        supervisor.watch(running or supervisor.start())


def _supervisor(
    job: ServeJob,
    console: Console,
    display: StartDisplay | None = None,
    lock: PortLock | None = None,
    *,
    accepted: bool = False,
) -> Supervisor:
    return Supervisor(
        job.command,
        job.served,
        job.log,
        max_restarts=job.config.max_restarts,
        ready_timeout_s=job.config.ready_timeout_s,
        say=lambda text: console.print(ours(text)),
        on_phase=display.on_phase if display else None,
        accept=Acceptance(job, console, accepted=accepted),
        lock=lock,
    )


class Acceptance:
    """Looks at a server that has come up: one that is not what was trained is refused.

    Also after a crash, where the weights are others by then: a run may have been trained and merged again meanwhile, as
    it may during a start.

    Args:
        job: what is served.
        console: where it is said.
        accepted: whether the server runs already, and was looked at.
    """

    def __init__(self, job: ServeJob, console: Console, *, accepted: bool = False) -> None:
        self._job, self._console = job, console
        self._known = self._weights() if accepted else None

    def __call__(self, server: VllmServer) -> None:
        """Raises a TuneserveError where it is refused."""
        weights = self._weights()
        if weights == self._known:
            return
        run, served = self._job.run, self._job.command.target.weights.resolve()
        if weights and run and served == RunDir(run).merged.resolve():
            require_current(RunDir(run), contents=True)
        elif weights and run and served == self._job.served.resolve():
            require_exported(served, RunDir(run))
        if self._known is None:
            self._console.print(mark(True), f"ready after {server.ready_s:.1f} s")
        for name, checks in check_and_record(self._job, server):
            whose = f"{name}: " if self._job.beside else ""
            for passed, line in checks.lines(whose):
                self._console.print(mark(passed), ours(line))
            checks.require(whose)
        self._known = weights

    def _weights(self) -> str:
        """What identifies all that the server loads; nothing where it is not checked."""
        if not self._job.check or not (self._job.run or self._job.beside):
            return ""
        target = self._job.command.target
        adapters = [file for adapter in target.adapters for file in sorted(adapter.folder.glob("adapter_*"))]
        return f"{weights_fingerprint(target.weights)} {files_fingerprint(adapters)}"


def _spawn_daemon(job: ServeJob, start_from: Handle | int, descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
    job.supervisor_log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.supervisor_log, "a", opener=only_a_file) as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "serve.daemon"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Logs are English; what is shown of this one is translated where it is shown.
            env={**os.environ, LANG: "en"},
            pass_fds=descriptors,
            start_new_session=True,
        )
    assert daemon.stdin is not None
    daemon.stdin.write(JOB.dump_json(job) + b"\n" + FROM.dump_json(start_from))
    daemon.stdin.close()
    return daemon


def _await_ready(job: ServeJob, daemon: subprocess.Popen[bytes], display: StartDisplay) -> ServerState:
    began = time.monotonic()
    # The supervisor gives a start up by itself; what follows a start may take as long again.
    deadline = began + BACKGROUND_S + 2 * job.config.ready_timeout_s
    while True:
        now, state = time.monotonic(), known_state(job.command.port)
        mine = state is not None and state.supervisor_pid == daemon.pid
        if now > deadline or (not mine and now > began + BACKGROUND_S):
            raise TuneserveError(
                f"the background supervisor (pid {daemon.pid}) was not ready after {now - began:.0f} s",
                f"see {job.supervisor_log} and {job.log}; serve.ready_timeout_s is {job.config.ready_timeout_s}",
            )
        if state is not None and mine:
            if state.state == "ready":
                return state
            if state.state == "failed":
                failed = TuneserveError(state.message, state.next_step)
                failed.exit_code = max(daemon.wait(), EXIT_FAILED)  # a signal that came at its end is no exit code
                raise failed
            display.on_phase(state.phase or "importing", now - began)
        if daemon.poll() is not None:
            raise TuneserveError(
                f"the background supervisor ended with exit code {daemon.returncode}", f"see {job.supervisor_log}"
            )
        time.sleep(0.2)

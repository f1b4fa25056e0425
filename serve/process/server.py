"""A vLLM server as a context manager: started, shown, ready only after a real answer, and gone without a trace.

with VllmServer(command, run.logs / "serve.log") as server:
    server.client.post("/v1/chat/completions", {...})
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from configs.disk.files import only_a_file
from configs.errors import EXIT_FAILED, EXIT_USAGE, EndpointError, TuneserveError
from configs.terminal.console import detail
from serve.api.adapters import served_models
from serve.api.client import BUSY_S, Refused, ServerClient
from serve.launch.command import ServerCommand
from serve.launch.ports import port_sharers, require_bindable, take_port
from serve.process.causes import Cause, find_cause, log_since
from serve.process.guarded import ORPHAN_GRACE_S, GuardedProcess, Handle
from serve.process.phases import FIRST_ANSWER, PhaseReader
from serve.state.port_lock import PortLock

POLL_S = 0.2
STOP_MARGIN_S = 15.0
"""Beyond the drain time, what an orderly end may take before the group is killed."""

OnPhase = Callable[[str, float], None]
"""Called with the phase and the seconds since the start, several times a second while a server starts."""

HELLO: Sequence[Mapping[str, str]] = ({"role": "user", "content": "你好，请介绍一下你自己。"},)


class StartFailed(TuneserveError):
    """A server did not come up; `cause.retry`, and so the exit code, says whether it may later."""

    def __init__(self, cause: Cause, log: Path) -> None:
        super().__init__(f"the server did not start: {cause.message}\n  log: {log}", cause.next_step)
        self.cause = cause
        self.exit_code = EXIT_FAILED if cause.retry else EXIT_USAGE


class EndedMeanwhile(TuneserveError):
    """A server ended while it was asked; with the cause found in its log."""

    def __init__(self, cause: Cause, log: Path) -> None:
        super().__init__(f"the server ended while it was asked: {cause.message}\n  log: {log}", cause.next_step)


class VllmServer:
    """One vLLM server process with everything that it starts.

    Args:
        command: what to start, from `serve.launch.command.build_command`.
        log: file that vLLM's output is appended to.
        ready_timeout_s: give up when it is not ready by then.
        on_phase: told what the start is doing.
        probe: messages of the chat that decides whether it is ready.
        lock: the lock of its port, where the caller holds it; by default it is taken at the start.
    """

    def __init__(
        self,
        command: ServerCommand,
        log: Path,
        ready_timeout_s: float = 1200,
        on_phase: OnPhase | None = None,
        probe: Sequence[Mapping[str, Any]] = HELLO,
        lock: PortLock | None = None,
    ) -> None:
        self.command = command
        self.log = log
        self.ready_timeout_s = ready_timeout_s
        self.on_phase = on_phase
        self.probe = probe
        self.ready_s: float | None = None
        """Seconds from the start to the first answer."""
        self.lock = lock
        """The lock of its port; None before it is started, and after it was handed over."""
        self._lent = lock is not None
        self._process: GuardedProcess | None = None
        self._log_start = 0

    @classmethod
    def adopt(cls, command: ServerCommand, log: Path, handle: Handle) -> VllmServer:
        """Takes over a running server that another process of ours has handed over."""
        lock = PortLock.inherit(command.port, handle.lock_fd)
        server = cls(command, log, lock=lock)
        server._process = GuardedProcess.adopt(handle, lock)
        server._log_start = log.stat().st_size  # errors of earlier starts are not causes of what comes now
        return server

    @property
    def client(self) -> ServerClient:
        """Requests to this server, with its key; it is waited for while it is busy."""
        return ServerClient(self.command.root_url, self.api_key, BUSY_S)

    @property
    def api_key(self) -> str | None:
        """The API key, from the variable that the command names."""
        return os.environ.get(self.command.api_key_env) if self.command.api_key_env else None

    @property
    def alive(self) -> bool:
        """Whether vLLM's leader runs."""
        return self._process is not None and self._process.alive

    @property
    def pid(self) -> int | None:
        """vLLM's leader, which is also its process group and session."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """How the leader ended, negative for a signal; None while it runs."""
        return self._process.exit_code if self._process else None

    @property
    def cpu_s(self) -> float:
        """Processor seconds that vLLM's leader, which answers requests, has taken so far; 0 where it is gone."""
        try:
            used = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(used.user + used.system)

    def start(self) -> None:
        """Starts the process and returns at once.

        Raises:
            TuneserveError: the port is taken, or the process cannot be started.
        """
        if self.lock is None:
            self.lock = take_port(self.command.host, self.command.port)
        else:
            require_bindable(self.command.host, self.command.port)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(self.log, "a", encoding="utf-8", opener=only_a_file) as log:
                log.write(f"$ {self.command.shown()}\n")
        except OSError as error:
            no_log = Cause("log", f"its log cannot be written: {error.strerror}", "free or mend its disk", retry=True)
            raise StartFailed(no_log, self.log) from error
        self._log_start = self.log.stat().st_size  # after our own line, whose words are no cause
        detail(f"$ {self.command.shown()}")
        self._process = GuardedProcess.start(self.command.argv, self._environment(), self.log, self.lock)

    def wait_ready(self) -> float:
        """Waits until the process lives, `/health` is 200, the names are listed and one real chat has content.

        Returns:
            Seconds since `start`.

        Raises:
            StartFailed: the process ended, or the time is up; with the cause found in the log.
        """
        began = time.monotonic()
        reader = PhaseReader(self.log, self._log_start)
        while not self.client.healthy():
            self._check_start(began, reader)
            self.wait(POLL_S)
        self._check_names()
        self._tell(FIRST_ANSWER, began)
        self._first_answer(began, reader)
        self.ready_s = round(time.monotonic() - began, 2)
        return self.ready_s

    def stop(self, grace_s: float | None = None) -> None:
        """Ends the server: SIGTERM to the leader, a wait, SIGKILL for what is left. Returns when nothing is left.

        Args:
            grace_s: seconds that the leader gets; by default its drain time and a margin.
        """
        if self._process is not None:
            self._process.stop(self.command.drain_s + STOP_MARGIN_S if grace_s is None else grace_s)
        if self.lock is not None and not self._lent:
            self.lock.release()
            self.lock = None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits for the server's end and returns its exit code; None when the time is up first."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def hand_over(self) -> Handle:
        """Lets go of the running server, so that another process of ours can `adopt` it; close the descriptors then."""
        assert self._process is not None
        handle, self._process = self._process.hand_over(), None
        if self.lock is not None and not self._lent:
            self.lock.release()  # the handle has a descriptor of its own
        self.lock = None
        return handle

    def lend_lock(self) -> PortLock:
        """The lock of its port, which the caller releases from now on."""
        assert self.lock is not None
        self._lent = True
        return self.lock

    def ended(self, error: BaseException | None) -> EndedMeanwhile | None:
        """Why it ended, where that is why it did not answer, of which an error tells."""
        if self.alive or not isinstance(error, EndpointError | Refused):
            return None
        return EndedMeanwhile(find_cause(self.log_text(), self.exit_code), self.log)

    def log_text(self) -> str:
        """What this server has logged since it was started."""
        return log_since(self.log, self._log_start)

    def __enter__(self) -> VllmServer:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop(grace_s=ORPHAN_GRACE_S)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said = self.ended(error)
        self.stop()
        if said is not None:
            raise said from error

    def _environment(self) -> dict[str, str]:
        env = {**os.environ, **self.command.env, "PYTHONUNBUFFERED": "1"}
        env.pop("VLLM_API_KEY", None)
        if self.api_key:
            env["VLLM_API_KEY"] = self.api_key
        return env

    def _check_start(self, began: float, reader: PhaseReader) -> None:
        elapsed = time.monotonic() - began
        phase = reader.phase()
        self._tell(phase, began)
        if not self.alive:
            raise StartFailed(find_cause(self.log_text(), self.exit_code), self.log)
        if elapsed > self.ready_timeout_s:
            raise StartFailed(
                Cause(
                    "timeout",
                    f"it was not ready after {self.ready_timeout_s:.0f} s; it was still at: {phase}",
                    "raise serve.ready_timeout_s, or look at the log for what it waits for",
                    retry=True,
                ),
                self.log,
            )

    def _check_names(self) -> None:
        assert self.pid is not None
        strangers = port_sharers(self.command.port, self.pid)
        if strangers:
            raise StartFailed(
                Cause(
                    "port-shared",
                    f"{strangers} listens on port {self.command.port} too, and would get some of the requests",
                    "end that process, or choose another port with serve.port",
                    retry=True,
                ),
                self.log,
            )
        listed = [model.name for model in served_models(self.client)]
        missing = [name for name in self.command.names if name not in listed]
        if missing:
            raise StartFailed(
                Cause(
                    "name-missing",
                    f"it serves {', '.join(listed)}, but not {', '.join(missing)}",
                    "look at --served-model-name and --lora-modules in the command above",
                ),
                self.log,
            )

    def _first_answer(self, began: float, reader: PhaseReader) -> None:
        target = self.command.target
        body: dict[str, Any] = {
            "model": self.command.names[-1] if target.name not in self.command.names else target.name,
            "messages": list(self.probe),
            "temperature": 0,
            "max_tokens": 16,
        }
        if target.family == "switchable":
            body["chat_template_kwargs"] = {"enable_thinking": False}
        if target.family == "always":
            body["max_tokens"] = 1024  # the answer begins after the thoughts
        try:
            answer = self.client.post("/v1/chat/completions", body, self.ready_timeout_s)
        except Refused as error:
            self._check_start(began, reader)
            raise StartFailed(Cause("first-answer", str(error.message), "see the log", retry=True), self.log) from error
        if self.command.dummy:
            return  # made-up weights may answer with tokens that have no text
        message = answer["choices"][0]["message"]
        thought = message.get("reasoning") if target.family == "always" else None
        if not (message.get("content") or "").strip() and not thought:
            raise StartFailed(
                Cause(
                    "empty-answer",
                    f"it answered {list(self.probe)[-1]['content']!r} with {message.get('content')!r}",
                    "look at the chat template and the reasoning parser; `tuneserve chat` shows raw answers",
                ),
                self.log,
            )

    def _tell(self, phase: str, began: float) -> None:
        if self.on_phase:
            self.on_phase(phase, time.monotonic() - began)

"""A vLLM server as a context manager: started, shown, ready only after a real answer, and gone without a trace.

with VllmServer(command, run.logs / "serve.log") as server:
    server.client.post("/v1/chat/completions", {...})
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psutil

from configs.errors import TuneserveError
from serve import guardian
from serve.causes import Cause, find_cause, log_since
from serve.client import Refused, ServerClient
from serve.command import ServerCommand
from serve.phases import FIRST_ANSWER, PhaseReader
from serve.ports import require_free_port

POLL_S = 0.2
STOP_MARGIN_S = 15.0
"""Beyond the drain time, what an orderly end may take before the group is killed."""
ORPHAN_GRACE_S = 5.0
"""What vLLM gets to end in order when our own process died."""

OnPhase = Callable[[str, float], None]
"""Called with the phase and the seconds since the start, several times a second while a server starts."""

HELLO: Sequence[Mapping[str, str]] = ({"role": "user", "content": "你好，请介绍一下你自己。"},)


class StartFailed(TuneserveError):
    """A server did not come up; `cause.retry` says whether the same command may succeed later."""

    def __init__(self, cause: Cause, log: Path) -> None:
        super().__init__(f"the server did not start: {cause.message}\n  log: {log}", cause.next_step)
        self.cause = cause


class VllmServer:
    """One vLLM server process with everything that it starts.

    Args:
        command: what to start, from `serve.command.build_command`.
        log: file that vLLM's output is appended to.
        ready_timeout_s: give up when it is not ready by then.
        on_phase: told what the start is doing.
        probe: messages of the chat that decides whether it is ready.
    """

    def __init__(
        self,
        command: ServerCommand,
        log: Path,
        ready_timeout_s: float = 1200,
        on_phase: OnPhase | None = None,
        probe: Sequence[Mapping[str, Any]] = HELLO,
    ) -> None:
        self.command = command
        self.log = log
        self.ready_timeout_s = ready_timeout_s
        self.on_phase = on_phase
        self.probe = probe
        self.ready_s: float | None = None
        """Seconds from the start to the first answer."""
        self.pid: int | None = None
        """vLLM's leader, which is also its process group and session."""
        self.exit_code: int | None = None
        """How the leader ended, negative for a signal; None while it runs."""
        self._guardian: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._started = threading.Event()
        self._log_start = 0

    @property
    def client(self) -> ServerClient:
        """Requests to this server, with its key."""
        return ServerClient(self.command.root_url, self.api_key)

    @property
    def api_key(self) -> str | None:
        """The API key, from the variable that the command names."""
        return os.environ.get(self.command.api_key_env) if self.command.api_key_env else None

    @property
    def alive(self) -> bool:
        """Whether vLLM's leader runs."""
        return self._guardian is not None and not self._ended.is_set()

    def start(self) -> None:
        """Starts the process and returns at once.

        Raises:
            TuneserveError: the port is taken, or the process cannot be started.
        """
        require_free_port(self.command.host, self.command.port)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {self.command.shown()}\n")
        self._guardian = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                guardian.__file__,
                str(ORPHAN_GRACE_S),
                str(self.log),
                "--",
                *self.command.argv,
            ],
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # In a session of its own the terminal's Ctrl-C does not reach it: we decide how the server ends.
            start_new_session=True,
        )
        assert self._guardian.stdout is not None
        threading.Thread(target=self._listen, args=(self._guardian.stdout,), daemon=True).start()
        self._started.wait(30)
        if self.pid is None:
            self.stop()
            raise TuneserveError(f"{self.command.argv[0]} could not be started", f"see {self.log}")

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
            self._ended.wait(POLL_S)
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
        if self._guardian is None:
            return
        grace = self.command.drain_s + STOP_MARGIN_S if grace_s is None else grace_s
        assert self._guardian.stdin is not None
        try:
            self._guardian.stdin.write(f"stop {grace}\n".encode())
            self._guardian.stdin.flush()
        except BrokenPipeError:  # the guardian has ended before us, and the server with it
            pass
        try:
            self._guardian.wait(grace + guardian.KILL_WAIT_S + 5)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        self._ended.wait(5)
        self._guardian.stdin.close()
        self._guardian = None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits for the server's end and returns its exit code; None when the time is up first."""
        return self.exit_code if self._ended.wait(timeout_s) else None

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
        self.stop()

    def _environment(self) -> dict[str, str]:
        env = {**os.environ, **self.command.env, "PYTHONUNBUFFERED": "1"}
        env.pop("VLLM_API_KEY", None)
        if self.api_key:
            env["VLLM_API_KEY"] = self.api_key
        return env

    def _listen(self, reports: IO[bytes]) -> None:
        """Reads what the guardian reports; runs in a thread of its own until the guardian is gone."""
        for line in reports:
            word, value = line.split()
            if word == b"pid":
                self.pid = int(value)
                self._started.set()
            else:
                self.exit_code = int(value)
        if self.pid is not None and self.exit_code is None:
            # The guardian was killed. The kernel has sent SIGTERM to the leader; the rest of its session is ours.
            self.exit_code = _kill_session(self.pid, ORPHAN_GRACE_S)
        self._ended.set()
        self._started.set()

    def _check_start(self, began: float, reader: PhaseReader) -> None:
        elapsed = time.monotonic() - began
        phase = reader.phase()
        self._tell(phase, began)
        if self._ended.is_set():
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
        listed = [m["id"] for m in self.client.get("/v1/models")["data"]]
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


def _kill_session(leader: int, grace_s: float) -> int:
    """Ends what is left of a session whose guardian died; returns the exit code to report."""
    deadline = time.monotonic() + grace_s
    while psutil.pid_exists(leader) and time.monotonic() < deadline:
        time.sleep(0.05)
    while True:
        try:
            os.killpg(leader, signal.SIGKILL)
        except ProcessLookupError:
            return -signal.SIGTERM
        time.sleep(0.05)

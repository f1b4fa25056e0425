"""Which servers run on this machine: one small file each, so that `serve status`, `stop` and `logs` find them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from configs.disk.files import file_bytes, write_atomically
from configs.errors import ConfigError
from configs.network.addresses import key_in
from serve.state.adapters import changes, forget_all
from serve.state.folders import state_folder
from serve.state.identity import began
from serve.state.port_lock import PortLock, is_held

Phase = Literal["starting", "ready", "restarting", "stopping", "failed", "stopped"]


class ServerState(BaseModel):
    """What is known of one supervised server."""

    model_config = ConfigDict(extra="ignore")  # a newer version's server is to be found and stopped, too

    state: Phase
    """Where it stands."""
    phase: str = ""
    """What a start is doing."""
    supervisor_pid: int
    """The process that watches it; stopping that one stops the server."""
    supervisor_began: str
    """When that process began, by `identity.began`, so that a reused pid is not taken for it."""
    server_pid: int | None = None
    """vLLM's leader."""
    port: int
    """Port that it listens on."""
    base_url: str
    """Base URL for OpenAI clients."""
    names: list[str]
    """Model names."""
    served: str
    """Run directory or model folder."""
    log: str
    """vLLM's log."""
    weights: str = ""
    """Model folder, whose tokenizer the benchmark needs."""
    argv: list[str] = []
    """Program and arguments, which say what adapters it can take."""
    api_key_env: str | None = None
    """Variable that holds the API key; None where none is asked for."""
    started: str
    """UTC, ISO 8601."""
    ready_s: float | None = None
    """Seconds from the start to the first answer."""
    restarts: int = 0
    """Restarts after crashes."""
    message: str = ""
    """Why it failed or was restarted."""
    next_step: str = ""
    """What to do about it."""

    @property
    def all_names(self) -> list[str]:
        """Model names now, with the adapters that came and without those that went since it started."""
        try:
            changed = changes(self.port)
        except ConfigError:  # a damaged note: the names that the server was started with are what is known
            changed = {}
        kept = [name for name in self.names if changed.get(name, name) is not None]
        return [*kept, *(name for name, path in changed.items() if path and name not in kept)]

    @property
    def root_url(self) -> str:
        """Where the server's own routes are, such as `/tokenize`."""
        return self.base_url.removesuffix("/v1")

    @property
    def api_key(self) -> str | None:
        """The API key.

        Raises:
            ConfigError: the server asks for one, and the variable is not set here.
        """
        if self.api_key_env is None:
            return None
        key = key_in(self.api_key_env)
        if not key:
            raise ConfigError(
                f"the server on port {self.port} asks for an API key, and {self.api_key_env} is not set",
                f"export {self.api_key_env}=KEY",
            )
        return key

    @property
    def alive(self) -> bool:
        """Whether the supervisor still runs."""
        return began(self.supervisor_pid) == self.supervisor_began


def state_file(port: int) -> Path:
    """State file of the server on a port."""
    return state_folder() / f"{port}.json"


def write_state(state: ServerState) -> None:
    """Writes the state file atomically."""
    file = state_file(state.port)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, state.model_dump_json(indent=2) + "\n")


def read_state(port: int) -> ServerState | None:
    """State of the server on a port, None where none was started.

    Raises:
        ConfigError: the file is damaged.
    """
    file = state_file(port)
    try:
        return ServerState.model_validate_json(file_bytes(file))
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:  # also bytes that are no text, or no JSON; or no file
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise ConfigError(
            f"{file}: the state of the server on port {port} is damaged: {why}",
            "a server that runs writes it again within seconds: try again; else remove the file",
        ) from None


def known_state(port: int) -> ServerState | None:
    """State of the server on a port, None also where its file is damaged."""
    try:
        return read_state(port)
    except ConfigError:
        return None


def status() -> list[ServerState]:
    """Every server whose supervisor runs, and those that failed and were not stopped since; by port."""
    return [state for port in _ports() if (state := _look(port)) is not None]


def damaged() -> list[ConfigError]:
    """What is wrong with the state files that cannot be read, though their servers run."""
    found = []
    for port in _ports():
        try:
            read_state(port)
        except ConfigError as error:
            if is_held(port):
                found.append(error)
    return found


def _ports() -> list[int]:
    return sorted(int(file.stem) for file in state_folder().glob("*.json") if file.stem.isdecimal())


def forget_failed(port: int) -> None:
    """Removes what is known of a server that does not run."""
    _look(port, failed=False)


def _look(port: int, *, failed: bool = True) -> ServerState | None:
    """A server that runs, or has `failed`; what is left of any other is removed, unless its port is still held."""
    state = known_state(port)
    if state is not None and (state.alive or (failed and state.state == "failed")):
        return state
    lock = PortLock.take(port)
    if lock is not None:  # nobody can be writing the file now, so what is removed is what was read
        try:
            state = known_state(port)
            if (state is None or not state.alive) and not state_file(port).is_dir():
                with suppress(OSError):  # on a disk that became read-only it stays, and hides no other server
                    state_file(port).unlink(missing_ok=True)
                forget_all(port)
        finally:
            lock.release()
    return None


def find_server(which: str | Path | None = None) -> ServerState:
    """The server that a word means: a run directory, a model folder, a port or a model name.

    Args:
        which: None takes the only server there is, one that runs before those that failed.

    Raises:
        ConfigError: none fits, or several do.
    """
    broken = damaged()
    servers = status()
    if which is None:
        servers = [s for s in servers if s.alive] or servers
    else:
        wanted = str(which)
        folder = str(Path(wanted).resolve())
        servers = [s for s in servers if wanted == str(s.port) or folder == s.served or wanted in s.all_names]
    if len(servers) == 1:
        return servers[0]
    if not servers and broken:
        raise broken[0]
    if not servers:
        step = "start one: `tuneserve serve RUN --detach`"
        if which is None:
            raise ConfigError("no server was started here by this user", step)
        raise ConfigError(f"no server for {which} was started here by this user", step)
    listed = ", ".join(f"{s.port} ({s.names[0]})" for s in servers)
    raise ConfigError(f"several servers run: {listed}", "name one by its port")


def find_to_change(
    which: str | Path | None, by_name: str, confirm: Callable[[ServerState], bool] | None = None
) -> ServerState:
    """The server that a word means, for a command that changes it: another folder's is taken only by its name.

    Args:
        which: None takes the only server there is, where it serves something of this folder.
        by_name: how the command names it, but for the port.
        confirm: asked before a server of another folder is taken that was not named; None refuses.

    Raises:
        ConfigError: none fits, or several do, or it is another folder's and not confirmed.
    """
    state = find_server(which)
    here, served = Path.cwd(), Path(state.served)
    if which or served.is_relative_to(here) or here.is_relative_to(served) or (confirm and confirm(state)):
        return state
    raise ConfigError(
        f"{', '.join(state.names)} on port {state.port} serves {state.served}, which is not in this folder",
        f"if you mean it, name it: `{by_name} {state.port}`",
    )

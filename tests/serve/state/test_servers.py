"""What is known of servers outlives damaged files, moved clocks and reused numbers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from configs.errors import ConfigError, TuneserveError
from configs.terminal.console import shell
from scripts.cli import main
from serve import service
from serve.state import adapters, servers
from serve.state.identity import began
from serve.state.port_lock import PortLock, is_held
from serve.state.servers import ServerState, find_server, state_file, status, write_state
from tests.serve.fakes import free_port

DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\x00" * 100,
    b"\xff\xfe{}",
    b'{"state": "ready"}',
    b'{"port": "x"}',
    b"[" * 100_000,
    b'{"state": "ready", "surprise": 1}',
]


PORTS = [free_port() for _ in range(10)]


def known(port: int, served: Path, **changes: object) -> ServerState:
    """A server whose supervisor is this process."""
    state = ServerState(
        state="ready",
        supervisor_pid=os.getpid(),
        supervisor_began=began(os.getpid()) or "",
        port=port,
        base_url=f"http://127.0.0.1:{port}/v1",
        names=[f"model-{port}"],
        served=str(served),
        log=str(served / "serve.log"),
        started="2026-01-01T00:00:00+00:00",
    )
    return state.model_copy(update=changes)


def run_cli(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(list(args))
    said = capsys.readouterr()
    return int(end.value.code or 0), " ".join((said.out + said.err).split())


def test_a_server_of_a_newer_version_is_found(tmp_path: Path) -> None:
    write_state(known(PORTS[0], tmp_path))
    said = state_file(PORTS[0]).read_text(encoding="utf-8")
    state_file(PORTS[0]).write_text(said.replace("{", '{"of_a_newer_version": 1,', 1), encoding="utf-8")
    assert find_server(str(PORTS[0])).names == [f"model-{PORTS[0]}"]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_state_file_hides_no_other_server(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_state(known(PORTS[1], tmp_path))
    state_file(PORTS[2]).write_bytes(content)
    lock = PortLock.take(PORTS[2])
    assert lock
    try:
        code, said = run_cli(capsys, "serve", "status")
        assert code == 0
        assert f"model-{PORTS[1]}" in said
        assert f"{state_file(PORTS[2])}: the state of the server on port {PORTS[2]} is damaged" in said
        assert find_server(f"model-{PORTS[1]}").port == PORTS[1]
        for verb in (["serve", "stop", str(PORTS[2])], ["serve", "logs", str(PORTS[2])], ["chat", str(PORTS[2])]):
            code, said = run_cli(capsys, *verb)
            assert code == 2
            assert "is damaged" in said
    finally:
        lock.release()
    assert [s.port for s in status()] == [PORTS[1]]
    assert not state_file(PORTS[2]).exists()


@pytest.mark.parametrize("content", [*DAMAGED[:6], b'{"a": 1}', b'{"a": ["b"]}', b"[" * 100_000], ids=range(9))
def test_a_damaged_note_of_adapters_hides_no_server(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_state(known(PORTS[3], tmp_path))
    adapters.note_change(PORTS[3], "came", str(tmp_path))
    next((tmp_path / "state").rglob("changes.json")).write_bytes(content)
    code, said = run_cli(capsys, "serve", "status")
    assert code == 0
    assert f"model-{PORTS[3]}" in said
    with pytest.raises(ConfigError, match=r"changes\.json"):
        adapters.changes(PORTS[3])


@pytest.mark.parametrize("step_s", [-3600, -2, 2, 3600])
def test_a_step_of_the_clock_changes_nothing(step_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_state(known(PORTS[4], tmp_path))
    boot = psutil.boot_time()
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot + step_s)  # what the kernel says then
    assert [s.port for s in status()] == [PORTS[4]]


def test_a_reused_number_is_another_process(tmp_path: Path):
    write_state(known(PORTS[5], tmp_path, supervisor_pid=1))
    write_state(
        known(PORTS[6], tmp_path, supervisor_began=f"another-boot/{(began(os.getpid()) or '').partition('/')[2]}")
    )
    assert status() == []


def test_a_process_that_has_ended_and_waits_is_gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert began(child.pid) is None
    child.wait()
    assert began(child.pid) is None


def test_what_is_left_of_a_server_stays_as_long_as_its_port_is_held(tmp_path: Path):
    lock = PortLock.take(PORTS[7])
    assert lock
    write_state(known(PORTS[7], tmp_path, supervisor_pid=1))
    assert status() == []
    assert state_file(PORTS[7]).exists()
    lock.release()
    assert status() == []
    assert not state_file(PORTS[7]).exists()


def test_a_lock_lives_as_long_as_any_process_that_has_it():
    port = free_port()
    lock = PortLock.take(port)
    assert lock
    assert PortLock.take(port) is None
    assert is_held(port)
    child = subprocess.Popen(["sleep", "60"], pass_fds=(lock.descriptor,))
    lock.release()
    assert is_held(port)
    child.kill()
    child.wait()
    assert not is_held(port)
    again = PortLock.take(port)
    assert again
    inherited = PortLock.inherit(port, os.dup(again.descriptor))
    again.release()
    assert is_held(port)
    inherited.release()
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_a_server_of_another_folder_is_neither_stopped_nor_changed_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    here, there = tmp_path / "here", tmp_path / "my other"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.chdir(here)
    child = subprocess.Popen(["sleep", "60"])
    write_state(known(PORTS[8], there, supervisor_pid=child.pid, supervisor_began=began(child.pid) or ""))
    code, said = run_cli(capsys, "serve", "stop")
    assert (code, child.poll()) == (2, None)
    assert f"model-{PORTS[8]} on port {PORTS[8]} serves {there}" in said
    assert f"`tuneserve serve stop {PORTS[8]}`" in said
    for changed in ["unload", "b"], ["load", "b=[/x]"]:
        code, said = run_cli(capsys, "adapters", *changed)
        assert code == 2
        assert f"adapters {shell(*changed)} --server {PORTS[8]}`" in said
    asked: list[ServerState] = []
    with pytest.raises(ConfigError):
        service.stop(None, lambda state: bool(asked.append(state)))
    assert ([s.port for s in asked], child.poll()) == ([PORTS[8]], None)
    monkeypatch.chdir(there)
    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", Mock(side_effect=PermissionError))
        with pytest.raises(TuneserveError, match="belongs to another user"):
            service.stop()
    stopped = service.stop()
    assert (stopped.port, child.wait(10)) == (PORTS[8], -15)


def test_a_server_that_failed_is_in_no_others_way_and_goes_when_it_is_stopped(tmp_path: Path):
    write_state(known(PORTS[1], tmp_path, state="failed", supervisor_began="0"))
    assert find_server().port == PORTS[1]
    write_state(known(PORTS[2], tmp_path))
    assert find_server().port == PORTS[2]
    service.stop(str(PORTS[1]))
    assert [state.port for state in status()] == [PORTS[2]]


def test_names_that_mean_something_to_a_terminal_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_state(known(PORTS[9], tmp_path / "x:smile:[/y]", names=["[/x]", "\x1b[2Jname"], message="m"))
    code, said = run_cli(capsys, "serve", "status")
    assert code == 0
    assert "[/x], \\x1b[2Jname" in said
    assert "\x1b" not in said
    assert servers.find_server("[/x]").port == PORTS[9]

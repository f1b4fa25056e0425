"""The supervisor against the fake: restarts after crashes, never for config errors, stops in order, tells its state."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from configs.disk import locks
from configs.errors import ConfigError, TuneserveError
from configs.recipe.schema import ServeConfig
from scripts.cli import main
from serve import service
from serve.api.adapters import served_models
from serve.launch.job import ServeJob
from serve.launch.target import Target
from serve.process import guardian, supervisor
from serve.process.guarded import GuardedProcess
from serve.process.server import StartFailed, VllmServer
from serve.process.supervisor import Supervisor
from serve.state import adapters as loaded
from serve.state import servers as state
from serve.state.identity import began
from serve.state.port_lock import PortLock, is_held
from tests.serve.fakes import fake_command, free_port, gone, running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(supervisor, "WATCH_S", 0.1)


@pytest.fixture
def marker():
    word = f"marker-{uuid.uuid4().hex}"
    yield word
    for left in state.status():  # a supervisor that a failed test left behind would start its server again
        if left.alive and left.supervisor_pid != os.getpid():
            service.stop(left.port)
    for process in running(word):
        process.kill()


def until(wish, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not wish():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_crash_is_restarted_and_told(tmp_path: Path, marker: str):
    said: list[str] = []
    looked: list[VllmServer] = []
    command = fake_command(free_port(), marker)
    watched = Supervisor(command, tmp_path, tmp_path / "serve.log", say=said.append, accept=looked.append)
    server = watched.start()
    first = server.pid
    assert first is not None
    descriptors = len(os.listdir("/proc/self/fd"))
    thread = threading.Thread(target=watched.watch, args=(server,))
    thread.start()
    os.kill(first, signal.SIGKILL)
    until(lambda: watched.state.state == "ready" and watched.state.server_pid != first)
    until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)  # a server of years restarts many times
    assert (watched.state.restarts, len(looked)) == (1, 2)
    assert any("starting again" in text for text in said)
    watched.stop_wish.set()
    thread.join(30)
    assert watched.state.state == "stopped"
    assert not gone(marker)


@pytest.mark.parametrize("lost", [OSError(errno.ENOSPC, "full"), SystemExit(1)], ids=["full disk", "closed pipe"])
def test_a_crash_is_restarted_though_nothing_can_be_written_or_said(tmp_path: Path, marker: str, lost: BaseException):
    def say(text: str) -> None:
        raise lost

    watched = Supervisor(fake_command(free_port(), marker), tmp_path, tmp_path / "serve.log", say=say)
    server = watched.start()
    states = state.state_folder()
    shutil.rmtree(states)
    states.write_text("in its place")
    thread = threading.Thread(target=watched.watch, args=(server,))
    thread.start()
    try:
        os.kill(server.pid or 0, signal.SIGKILL)
        until(lambda: watched.state.restarts == 1 and watched.state.state == "ready")
    finally:
        watched.stop_wish.set()
        thread.join()
        states.unlink()
    assert (watched.state.state, gone(marker)) == ("stopped", [])


def test_an_adapter_whose_loading_was_killed_before_its_proof_is_taken_out(
    tmp_path: Path, marker: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locks, "WAIT_S", 0.1)
    port, said = free_port(), list[str]()
    watched = Supervisor(fake_command(port, marker), tmp_path, tmp_path / "serve.log", say=said.append)
    server = watched.start()
    thread = threading.Thread(target=watched.watch, args=(server,))
    thread.start()
    loading = (
        "import sys, time\nfrom pathlib import Path\nfrom serve.api.client import ServerClient\n"
        "from serve.state.adapters import being_proved\n"
        "with being_proved(int(sys.argv[1]), 'shop/b'):\n"
        "    body = {'lora_name': 'shop/b', 'lora_path': '/a'}\n"
        "    ServerClient(f'http://127.0.0.1:{sys.argv[1]}').post('/v1/load_lora_adapter', body)\n"
        "    print('loaded', flush=True)\n    time.sleep(60)\n"
    )
    program = [sys.executable, "-c", loading, str(port)]
    try:
        with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=Path(state.__file__).parents[2]) as loader:
            assert loader.stdout
            assert loader.stdout.readline() == b"loaded\n"
            time.sleep(0.5)  # while it proves, the adapter is left there
            assert "shop/b" in {model.name for model in served_models(server.client)}
            with pytest.raises(TuneserveError, match="is loading an adapter called shop/b"):
                loaded.being_proved(port, "shop/b").__enter__()
            loader.kill()
        until(lambda: ["shop/b was taken out" in text for text in said] == [True])
        assert "shop/b" not in {model.name for model in served_models(server.client)}
    finally:
        watched.stop_wish.set()
        thread.join(30)


def test_a_restart_has_the_adapters_that_came_and_lacks_those_that_went(tmp_path: Path, marker: str):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 8, "target_modules": ["q_proj"]}')
    port = free_port()
    loaded.note_change(port, "from-an-earlier-server", str(adapter))
    command = fake_command(port, marker, "--served-model-name", "fake", "given")
    said: list[str] = []
    watched = Supervisor(command, tmp_path, tmp_path / "serve.log", say=said.append)
    server = watched.start()
    assert loaded.changes(port) == {}
    thread = threading.Thread(target=watched.watch, args=(server,))
    thread.start()
    loaded.note_change(port, "came", str(adapter))
    loaded.note_change(port, "given", None)
    loaded.note_change(port, "lost", str(tmp_path / "nowhere"))
    trained_again = shutil.copytree(adapter, tmp_path / "again")
    loaded.note_change(port, "another", loaded.path_of_its_own(trained_again))
    (trained_again / "adapter_config.json").write_text('{"r": 4}')
    assert watched.state.all_names == ["fake", "came", "lost", "another"]
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: watched.state.state == "ready" and watched.state.restarts == 1)
    assert [model.name for model in served_models(server.client)] == ["fake", "came"]
    assert state.find_server("came").port == port
    assert watched.state.all_names == ["fake", "came"]
    assert any("nowhere" in text for text in said)
    assert any("another was left out" in text for text in said)
    watched.stop_wish.set()
    thread.join(30)


def test_what_went_while_nobody_knew_that_it_was_served_is_not_started(tmp_path: Path, marker: str):
    """As by `runs rm` in the first second of `serve`."""
    run, port = tmp_path / "run", free_port()
    command = replace(fake_command(port, marker), target=Target(weights=run / "merged", names=("fake",)))
    with pytest.raises(ConfigError, match="merged was removed while the server started"):
        Supervisor(command, run, run / "logs" / "serve.log").start()
    assert not run.exists()
    assert state.status()[0].state == "failed"
    assert not running(marker)


def test_too_many_crashes_in_a_row_end_it(tmp_path: Path, marker: str):
    command = fake_command(free_port(), marker)
    watched = Supervisor(command, tmp_path, tmp_path / "serve.log", max_restarts=1, say=lambda _: None)
    server = watched.start()
    failures: list[StartFailed] = []

    def watch() -> None:
        try:
            watched.watch(server)
        except StartFailed as error:
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    for _ in range(2):
        until(lambda: watched.state.state == "ready")
        pid = watched.state.server_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: watched.state.server_pid != pid)
    thread.join(30)
    assert "2 in a row" in str(failures[0])
    assert failures[0].exit_code == 1
    assert watched.state.state == "failed"
    assert not gone(marker)


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, marker: str):
    (tmp_path / "serve.log").mkdir()
    watched = Supervisor(fake_command(free_port(), marker), tmp_path, tmp_path / "serve.log")
    with pytest.raises(StartFailed, match=r"its log cannot be written: Is a directory\n  log: .*serve\.log"):
        watched.start()
    assert (watched.state.state, watched.state.next_step) == ("failed", "free or mend its disk")


def test_a_config_error_is_not_tried_again(tmp_path: Path, marker: str):
    flags = ("--fail", "x: error: unrecognized arguments: --foo", "--start-s", "0")
    watched = Supervisor(fake_command(free_port(), marker, *flags), tmp_path, tmp_path / "serve.log")
    with pytest.raises(StartFailed, match="--foo"):
        watched.start()
    assert (watched.state.state, watched.state.restarts) == ("failed", 0)
    assert watched.state.next_step


def test_a_hung_server_is_restarted(tmp_path: Path, marker: str):
    sick = tmp_path / "sick"
    command = fake_command(free_port(), marker, "--sick-file", str(sick))
    watched = Supervisor(command, tmp_path, tmp_path / "serve.log", say=lambda _: None)
    server = watched.start()
    thread = threading.Thread(target=watched.watch, args=(server,))
    thread.start()
    sick.touch()
    until(lambda: watched.state.restarts == 1)
    assert "/health" in watched.state.message
    sick.unlink()
    until(lambda: watched.state.state == "ready")
    watched.stop_wish.set()
    thread.join(30)
    assert not gone(marker)


@pytest.mark.parametrize(("silent", "restarts"), [("computing", 0), ("asleep", 1)])
def test_a_server_that_computes_is_waited_for_and_a_silent_one_is_not(
    tmp_path: Path, marker: str, silent: str, restarts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "WATCH_S", 0.3)
    file = tmp_path / silent
    command = fake_command(free_port(), marker, "--silent-file", str(file))
    watched = Supervisor(command, tmp_path, tmp_path / "serve.log", say=lambda _: None)
    server = watched.start()
    thread = threading.Thread(target=watched.watch, args=(server,))
    thread.start()
    file.touch()
    asked = ThreadPoolExecutor(1).submit(served_models, server.client)
    time.sleep(5)
    assert (watched.state.restarts, asked.done()) == (restarts, restarts == 1)
    file.unlink()
    if not restarts:  # who knew that it was up has its answer late
        assert [model.name for model in asked.result(10)] == ["fake"]
    until(lambda: watched.state.state == "ready")
    watched.stop_wish.set()
    thread.join(30)
    assert not gone(marker)


def test_a_taken_port_names_its_owner(tmp_path: Path, marker: str):
    port = free_port()
    second = VllmServer(fake_command(port, marker), tmp_path / "b.log")
    with VllmServer(fake_command(port, marker), tmp_path / "a.log"), pytest.raises(ConfigError) as failure:
        second.start()
    assert "pid" in failure.value.message
    assert "serve.port=" in failure.value.next_step


def test_of_two_servers_for_one_port_the_second_is_refused_and_touches_nothing(tmp_path: Path, marker: str):
    port = free_port()
    (tmp_path / "a").mkdir()
    first = Supervisor(fake_command(port, marker, "--start-s", "2"), tmp_path / "a", tmp_path / "a.log")
    thread = threading.Thread(target=first.start)
    thread.start()
    until(lambda: state.known_state(port) is not None)
    second = Supervisor(fake_command(port, marker), tmp_path / "b", tmp_path / "b.log")
    began_s = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        second.start()  # the first does not listen yet
    assert time.monotonic() - began_s < 2
    assert f"port {port} is taken by fake from {tmp_path / 'a'}, which is starting" in refused.value.message
    assert f"tuneserve serve stop {port}" in refused.value.next_step
    thread.join(30)
    assert state.read_state(port) == first.state
    assert first.state.state == "ready"
    assert not (tmp_path / "b.log").exists()
    assert first.server
    first.server.stop()


def test_a_port_that_another_process_shares_is_refused(tmp_path: Path, marker: str):
    """As a vLLM that was started by hand does, and does not listen yet when ours looks."""
    port = free_port()
    with socket.socket() as other, socket.socket() as elsewhere:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        elsewhere.bind(("127.0.0.2", port))
        elsewhere.listen()
        server = VllmServer(fake_command(port, marker, "--reuse-port"), tmp_path / "serve.log")
        server.lock = PortLock.take(port)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("serve.process.server.require_bindable", lambda host, port: None)
            server.start()
        try:
            until(server.client.healthy)
            server._check_names()  # the same port of another address is another server's business
            other.listen()
            with pytest.raises(StartFailed, match=rf"\(pid {os.getpid()}\).* listens on port {port} too"):
                server._check_names()
        finally:
            server.stop(1)


def test_one_run_served_twice_at_once_is_served_once(tmp_path: Path, marker: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "look_before", lambda job, console: None)
    port = free_port()
    job = ServeJob(fake_command(port, marker, "--start-s", "1"), ServeConfig(), tmp_path, tmp_path / "serve.log")
    ends: list[object] = []

    def serve() -> None:
        try:
            ends.append(service.serve_detached(job, Console(file=io.StringIO())).state)
        except ConfigError as error:
            ends.append(error)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(end == "ready" for end in ends) == 1
    refused = [end for end in ends if isinstance(end, ConfigError)]
    assert len(refused) == 3
    assert all(f"port {port} is taken" in str(error) for error in refused)
    assert service.stop(port).state == "stopped"
    assert not gone(marker, 0)
    assert not is_held(port)


def test_a_background_process_that_says_nothing_is_not_waited_for(tmp_path: Path, marker: str, monkeypatch):
    monkeypatch.setattr(service, "look_before", lambda job, console: None)
    monkeypatch.setattr(service, "BACKGROUND_S", 0.5)
    monkeypatch.setattr(service, "_spawn_daemon", lambda *_: subprocess.Popen(["sleep", "60"]))
    job = ServeJob(fake_command(free_port(), marker), ServeConfig(), tmp_path, tmp_path / "serve.log")
    with pytest.raises(TuneserveError, match="was not ready after"):
        service.serve_detached(job, Console(file=io.StringIO()))


def test_a_lost_state_file_is_written_again(tmp_path: Path, marker: str):
    watched = Supervisor(fake_command(free_port(), marker), tmp_path, tmp_path / "serve.log")
    server = watched.start()
    thread = threading.Thread(target=watched.watch, args=(server,))
    thread.start()
    file = state.state_file(watched.state.port)
    for harm in (file.unlink, lambda: file.write_bytes(b"{")):
        harm()
        until(lambda: state.known_state(watched.state.port) == watched.state)
    watched.stop_wish.set()
    thread.join(30)


def test_a_server_started_again_at_once_waits_for_the_end_of_the_killed_one(tmp_path: Path, marker: str):
    port = free_port()
    program = [sys.executable, "-m", "tests.serve.process.supervise_fake", str(tmp_path / "a.log"), str(port), marker]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout
        assert killed.stdout.readline().startswith("ready")
        killed.kill()
    again = Supervisor(fake_command(port, marker), tmp_path, tmp_path / "b.log")
    server = again.start()
    assert again.state.state == "ready"
    server.stop()


def test_under_nohup_a_server_outlives_its_terminal(tmp_path: Path, marker: str):
    program = [
        sys.executable,
        "-m",
        "tests.serve.process.supervise_fake",
        str(tmp_path / "log"),
        str(free_port()),
        marker,
    ]
    with subprocess.Popen(["nohup", *program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        assert served.stdout.readline().startswith("ready")
        served.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            served.wait(0.5)
        served.terminate()
        assert served.wait(30) == 0
    assert not gone(marker)


def test_nothing_stays_in_the_temporary_folder(tmp_path: Path, marker: str, monkeypatch: pytest.MonkeyPatch):
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:  # pytest's own is too long for a socket's name
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        with VllmServer(fake_command(free_port(), marker), tmp_path / "a.log") as server:
            assert server.pid
            own = Path(psutil.Process(server.pid).environ()["TMPDIR"])
            assert own.parent == Path(folder)
            assert own.stat().st_mode & 0o777 == 0o700
            (own / "socket").touch()
        assert list(Path(folder).iterdir()) == []
        killed = VllmServer(fake_command(free_port(), marker), tmp_path / "b.log")
        killed.start()
        assert killed.pid
        os.kill(psutil.Process(killed.pid).ppid(), signal.SIGKILL)
        assert killed.wait(20) == -signal.SIGKILL
        assert list(Path(folder).iterdir()) == []
        abandoned = Path(folder) / f"{guardian.FOLDER_PREFIX}abc"  # everything of it was killed at once
        abandoned.mkdir()
        os.mkfifo(abandoned / "tether")
        with VllmServer(fake_command(free_port(), marker), tmp_path / "c.log"):
            assert not abandoned.exists()


def test_many_starts_at_once_leave_each_others_folders_alone(tmp_path: Path):
    def start(number: int) -> int | None:
        while (lock := PortLock.take(free_port())) is None:
            """Two may find the same port free."""
        process = GuardedProcess.start(["sh", "-c", "test -p $TUNESERVE_TETHER"], os.environ, tmp_path / "log", lock)
        return process.wait(30)

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(start, range(36))) == [0] * 36


def test_a_detached_server_lives_on_and_is_found_and_stopped(tmp_path: Path, marker: str, monkeypatch):
    monkeypatch.setattr(service, "look_before", lambda job, console: None)  # the fake has no model files
    port = free_port()
    job = ServeJob(fake_command(port, marker), ServeConfig(), tmp_path, tmp_path / "serve.log")
    console = Console(file=(tmp_path / "out.txt").open("w"))
    found = service.serve_detached(job, console)
    assert found.state == "ready"
    assert [s.port for s in state.status()] == [port]
    assert "".join(service.logs(port)).startswith("$ ")
    assert service.stop(tmp_path).state == "stopped"
    assert not gone(marker)
    with pytest.raises(ConfigError, match="no server"):
        service.stop(port)


def test_the_log_is_followed_until_the_server_ends(tmp_path: Path, marker: str, capsys: pytest.CaptureFixture[str]):
    log, port = tmp_path / "serve.log", free_port()
    log.write_text("first\n")
    with psutil.Popen(["sh", "-c", f"sleep 1; echo second >> {log}; sleep 1"]) as writer:
        known = Supervisor(fake_command(port, marker), tmp_path, log).state
        told = {"supervisor_pid": writer.pid, "supervisor_began": began(writer.pid)}
        state.write_state(known.model_copy(update=told))
        with pytest.raises(SystemExit):
            main(["serve", "logs", str(port), "-f"])
    assert capsys.readouterr().out == "first\nsecond\n"


def test_a_detached_server_that_fails_says_why(tmp_path: Path, marker: str, monkeypatch):
    monkeypatch.setattr(service, "look_before", lambda job, console: None)
    command = fake_command(free_port(), marker, "--fail", "No available memory for the cache blocks")
    job = ServeJob(command, ServeConfig(), tmp_path, tmp_path / "serve.log")
    with pytest.raises(TuneserveError, match="KV cache") as failure:
        service.serve_detached(job, Console(file=(tmp_path / "out.txt").open("w")))
    assert failure.value.exit_code == 2  # the daemon's own, which is the cause's
    assert not gone(marker)


def test_a_running_server_is_handed_over_without_a_restart(tmp_path: Path, marker: str):
    """A process starts the server, detaches it and ends; the server stays, then stops on request."""
    port = free_port()
    script = f"""
import sys
from pathlib import Path
from rich.console import Console
from configs.recipe.schema import ServeConfig
from serve.launch.job import ServeJob
from serve.launch.target import Target
from serve.process.guarded import GuardedProcess
from serve.process.server import VllmServer
from serve.service import detach_running
from tests.serve.fakes import fake_command
command = fake_command({port}, {marker!r})
folder = Path({str(tmp_path)!r})
server = VllmServer(command, folder / "serve.log")
server.__enter__()
print(server.pid, flush=True)
detach_running(ServeJob(command, ServeConfig(), folder, folder / "serve.log"), server, Console(stderr=True))
"""
    starter = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert starter.returncode == 0, starter.stderr
    known = state.find_server(port)
    assert known.state == "ready"
    assert known.server_pid == int(starter.stdout)
    assert any(p.pid == known.server_pid for p in running(marker))
    assert service.stop(port).state == "stopped"
    assert not gone(marker)

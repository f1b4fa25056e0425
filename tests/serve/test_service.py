"""A run served from the outside: prepared, detached, checked, found, talked to, stopped; and the files to copy."""

from __future__ import annotations

import configparser
import io
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from openai import OpenAI
from rich.console import Console

import serve
from configs.errors import ConfigError, TuneserveError
from configs.run.manifest import Stage
from configs.run.rundir import RunDir
from scripts.cli import main
from serve import service
from serve.chat import chat, models_of
from serve.launch.command import installed_device
from serve.launch.job import ServeJob, prepare
from serve.process.server import VllmServer
from serve.state.servers import ServerState, find_server
from tests.quick_start.sitecustomize import AS_EVER
from tests.serve.conftest import TinyRun
from tests.serve.fakes import free_port

DEPLOY = Path(serve.__file__).parent / "deploy"


@pytest.mark.slow
def test_a_run_is_served_in_the_background_checked_and_stopped_in_order(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
):
    if installed_device() != "cpu":
        pytest.skip("starts the CPU build of vLLM")
    folder = tempfile.mkdtemp(prefix="t-", dir="/tmp")  # pytest's own is too long for the name of a socket
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setenv(AS_EVER, "1")
    port = free_port()
    console = Console(record=True, width=200, file=io.StringIO())
    job = prepare(tiny_run.run.path, adapter=True, overrides=[f"serve.port={port}"], extra=["--seed", "1"])
    state = service.serve_detached(job, console)
    try:
        said = console.export_text()
        assert "--lora-modules" in said
        assert "proof: served weights are the trained ones" in said
        assert f"http://127.0.0.1:{port}/v1" in said
        assert f"tuneserve serve stop {port}" in said
        assert find_server(tiny_run.run.path).port == port
        assert [m.model for m in models_of(state, both=True)] == ["tiny-base", "tiny"]
        checks = tiny_run.run.read().facts.served
        assert checks.parity.equal == 6
        assert checks.proof.passed
        # A client that streams when the server is told to stop gets its whole answer.
        stream = OpenAI(base_url=state.base_url, api_key="none", max_retries=0).completions.create(
            model="tiny-base", prompt=[1, 2, 3], max_tokens=400, stream=True, extra_body={"ignore_eos": True}
        )
        pieces = [next(stream)]
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(service.stop, port)
            pieces += list(stream)
            assert stopping.result().state == "stopped"
        assert pieces[-1].choices[0].finish_reason == "length"
        assert len(pieces) > 100
    finally:
        with suppress(ConfigError):  # it is stopped, unless something failed before
            service.stop(port)
    os.rmdir(folder)  # fails where anything is left in it, such as vLLM's sockets


def test_a_run_without_merged_weights_says_what_to_do(tiny_run: TinyRun):
    with pytest.raises(ConfigError) as failure:
        prepare(tiny_run.run.path)
    assert "tuneserve merge" in failure.value.next_step


def test_each_port_has_logs_of_its_own(tiny_run: TinyRun, demo_model: Path):
    jobs = [prepare(tiny_run.run.path, adapter=True, overrides=own) for own in ([], ["serve.port=5001"])]
    jobs.append(prepare(adapters={"a": tiny_run.run.path}, overrides=["serve.port=5002"]))
    jobs += [prepare(demo_model, overrides=[f"serve.port={port}"]) for port in (5003, 5004)]
    assert jobs[0].log == tiny_run.run.logs / "serve.log"
    assert jobs[0].supervisor_log == tiny_run.run.logs / "supervisor.log"
    assert len({log for job in jobs for log in (job.log, job.supervisor_log)}) == 10


def test_an_adapter_of_a_plain_model_is_refused(demo_model: Path):
    with pytest.raises(ConfigError, match="not a run directory"):
        prepare(demo_model, adapter=True)


@pytest.mark.parametrize("override", ["train.epochs=3", "serve.prot=1", "serve.port=zero"])
def test_wrong_overrides_of_a_plain_model_are_refused(override: str, demo_model: Path):
    with pytest.raises(ConfigError):
        prepare(demo_model, overrides=[override])


def test_two_runs_of_one_base_share_a_server(tiny_run: TinyRun):
    job = prepare(adapters={"a": tiny_run.run.path, "b": tiny_run.run.path})
    assert job.command.names == ("tiny-base", "a", "b")
    assert (job.check, dict(job.beside)) == (True, {"a": tiny_run.run.path, "b": tiny_run.run.path})


@pytest.mark.parametrize(
    ("names", "said"), [(["a", "a"], "names a twice"), (["a", "tiny-base"], "tiny-base is what the base is called")]
)
def test_each_model_of_a_server_has_a_name_of_its_own(
    names: list[str], said: str, tiny_run: TinyRun, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        main(["serve", "--print-only", "--adapters", *(f"{name}={tiny_run.run.path}" for name in names)])
    assert said in capsys.readouterr().err


def test_an_adapter_is_not_served_beside_a_base_that_it_was_not_trained_on(tiny_run: TinyRun, tmp_path: Path):
    run = RunDir(shutil.copytree(tiny_run.run.path, tmp_path / "run"))
    manifest = run.read()
    train = Stage(state="done", started="2026-11-26T00:00:00+00:00", inputs={"base_model": "of other weights"})
    manifest.stages["train"] = train
    run.manifest_file.write_text(manifest.model_dump_json())
    with pytest.raises(ConfigError, match=r"weights or config\.json are not those that .* was trained on"):
        prepare(run.path, adapter=True)


def test_no_check_holds_for_several_runs_too(tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch):
    jobs: list[ServeJob] = []
    monkeypatch.setattr(service, "serve_foreground", lambda job, console: jobs.append(job))
    with pytest.raises(SystemExit):
        main(["serve", "--adapters", f"a={tiny_run.run.path}", "--no-check"])
    assert not jobs[0].check


@pytest.mark.slow
def test_each_of_several_runs_is_checked_and_recorded(adapter_server: VllmServer, tiny_run: TinyRun, tmp_path: Path):
    broken = RunDir(tmp_path / "broken")
    shutil.copytree(tiny_run.run.path, broken.path)
    job = prepare(adapters={"tiny": tiny_run.run.path, "half": broken.path})
    console = Console(record=True, width=300, file=io.StringIO())
    with pytest.raises(TuneserveError, match=r"^half: proof: .*NOT the trained ones"):
        service.Acceptance(job, console)(adapter_server)
    assert "✓ tiny: proof: served weights are the trained ones" in console.export_text()
    found = [run.read().facts.served.proof.passed for run in (tiny_run.run, broken)]
    assert found == [True, False]
    service.Acceptance(replace(job, check=False), console)(adapter_server)


@pytest.mark.parametrize("accepted", [False, True])
def test_what_was_changed_under_a_server_is_looked_at_after_a_crash(
    accepted: bool, tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    adapter = shutil.copytree(tiny_run.run.adapter, tmp_path / "adapter")
    job = prepare(adapters={"a": tiny_run.run.path})
    target = replace(job.command.target, adapters=(replace(job.command.target.adapters[0], folder=adapter),))
    job = replace(job, command=replace(job.command, target=target))
    looked: list[ServeJob] = []
    monkeypatch.setattr(service, "check_and_record", lambda job, server: looked.append(job) or ())
    server = SimpleNamespace(ready_s=1.0)
    accept = service.Acceptance(job, Console(file=io.StringIO()), accepted=accepted)
    for expected in (1 - accepted, 1 - accepted):
        accept(server)  # type: ignore[arg-type]
        assert len(looked) == expected
    (adapter / "adapter_config.json").write_text("{}")
    accept(server)  # type: ignore[arg-type]
    assert len(looked) == 2 - accepted


def test_a_run_that_cannot_be_written_to_is_served_and_checked_all_the_same(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests' user may be root, who may write anywhere
    job = prepare(adapters={"a": tiny_run.run.path})
    assert job.log.is_relative_to(tmp_path)
    assert job.supervisor_log.is_relative_to(tmp_path)
    monkeypatch.setattr(service, "verify", lambda *args, **options: "what was found")
    server: Any = SimpleNamespace()
    before = tiny_run.run.manifest_file.read_bytes()
    assert list(service.check_and_record(job, server)) == [("a", "what was found")]
    assert tiny_run.run.manifest_file.read_bytes() == before


def test_a_job_survives_the_way_to_the_background(tiny_run: TinyRun):
    job = prepare(adapters={"a": tiny_run.run.path})
    assert service.JOB.validate_json(service.JOB.dump_json(job)) == job


def test_both_needs_a_base_beside_the_tuned_model():
    state = ServerState(
        state="ready",
        supervisor_pid=1,
        supervisor_began="",
        port=8000,
        base_url="http://127.0.0.1:8000/v1",
        names=["mine"],
        served="/runs/mine",
        log="/runs/mine/logs/serve.log",
        started="2026-01-01T00:00:00+00:00",
    )
    assert models_of(state, both=False)[0].model == "mine"
    with pytest.raises(ConfigError) as failure:
        models_of(state, both=True)
    assert "--adapter" in failure.value.next_step
    for other in ({"base_url": "http://127.0.0.1:9/v1"}, {"model": "x"}):
        with pytest.raises(ConfigError, match="names something else"):
            chat(both=True, console=Console(), **other)


def test_the_compose_file_is_one_and_needs_a_key():
    service_ = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["model"]
    assert "TUNESERVE_API_KEY:?" in service_["environment"]["VLLM_API_KEY"]
    assert all(port.startswith("127.0.0.1:") for port in service_["ports"])


def test_the_systemd_unit_stops_with_sigterm_and_leaves_config_errors_alone():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((DEPLOY / "tuneserve.service").read_text())
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
    assert unit["Service"]["KillMode"] == "mixed"
    assert unit["Unit"]["StartLimitBurst"] == "5"

"""`tuneserve adapters` against a real vLLM on the CPU: loaded, proved, listed, taken out; and what does not fit."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from configs.errors import ConfigError, TuneserveError
from configs.run.rundir import RunDir
from scripts.cli import main
from serve.api.adapters import served_models
from serve.live_adapters import Host, find_host, find_source, load, require_fit, unload
from serve.process.server import VllmServer
from serve.proof.behaviour import ask
from serve.state import adapters as loaded
from serve.state.identity import began
from serve.state.servers import ServerState, find_server, write_state
from tests.facts import prepared
from tests.serve.conftest import QUESTIONS, TinyRun

pytestmark = pytest.mark.slow


@pytest.fixture
def host(adapter_server: VllmServer) -> Host:
    """The shared server as a server that a supervisor of ours has started; this process stands in for that one."""
    command, me = adapter_server.command, psutil.Process()
    state = ServerState(
        state="ready",
        supervisor_pid=me.pid,
        supervisor_began=began(me.pid) or "",
        port=command.port,
        base_url=command.base_url,
        names=list(command.names),
        served=str(Path("runs/tiny").absolute()),
        log=str(adapter_server.log),
        argv=list(command.argv),
        started="2026-01-01T00:00:00+00:00",
    )
    write_state(state)
    return find_host(str(command.port))


def run_cli(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(["adapters", *args])
    said = capsys.readouterr()
    return int(end.value.code or 0), " ".join((said.out + said.err).split())


def test_a_run_is_loaded_proved_listed_and_unloaded(
    host: Host, tiny_run: TinyRun, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run_cli(capsys, "load", f"second={tiny_run.run.path}")
    assert code == 0, said
    assert "parity: token ids equal to the trained ones for 6 of 6" in said
    assert "proof: served weights are the trained ones" in said
    assert f"ask {host.client.root_url}/v1 for the model second" in said
    assert find_server("second").port == host.state.port  # type: ignore[union-attr]
    assert ask(host.client, "second", [{"role": "user", "content": QUESTIONS[0]}], 4)["message"]["content"]
    _, listed = run_cli(capsys, "list")
    assert "second tiny-base" in listed
    code, said = run_cli(capsys, "load", f"second={tiny_run.run.path}")
    assert (code, "has a model called second already" in said) == (2, True)
    assert run_cli(capsys, "unload", "second")[0] == 0
    assert "second" not in {model.name for model in served_models(host.client)}
    with pytest.raises(ConfigError, match="no server for second"):
        find_server("second")
    assert run_cli(capsys, "unload", "second")[0] == 2
    assert run_cli(capsys, "unload", "tiny-base")[0] == 2


def test_the_system_prompt_of_a_loaded_run_is_shown(
    host: Host, tiny_run: TinyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_run.run.path, tmp_path / "shop")
    RunDir.open(tmp_path / "shop").update(prepared=prepared(tiny_run.run.prepared().base_model, system="你是客服。"))
    _, said = run_cli(capsys, "load", f"shop={tmp_path / 'shop'}")
    assert "to be sent first: '你是客服。'" in said
    unload(host, "shop")


def test_what_is_not_what_was_trained_is_taken_out_again(host: Host, tiny_run: TinyRun, tmp_path: Path) -> None:
    copy = tmp_path / "broken"
    shutil.copytree(tiny_run.run.path, copy)
    shutil.rmtree(copy / "adapter")
    shutil.copytree(tiny_run.half, copy / "adapter")
    with pytest.raises(TuneserveError, match="NOT the trained ones"):
        load(host, find_source("broken", copy))
    assert "broken" not in {model.name for model in served_models(host.client)}
    assert host.state
    assert loaded.changes(host.state.port) == {}


def test_an_address_is_enough_and_a_bare_folder_is_not_checked(
    adapter_server: VllmServer, tiny_run: TinyRun, capsys: pytest.CaptureFixture[str]
) -> None:
    url = adapter_server.command.base_url
    code, said = run_cli(capsys, "load", f"bare={tiny_run.half}", "--base-url", url)
    assert code == 0, said
    assert "not checked: it is no run" in said
    assert run_cli(capsys, "unload", "bare", "--base-url", url)[0] == 0


@pytest.mark.parametrize("by_address", [False, True])
def test_an_adapter_trained_again_is_not_answered_for_by_the_old_one(
    by_address: bool, host: Host, tiny_run: TinyRun, tmp_path: Path
):
    """vLLM keeps computed prompts under the adapter's name and path; the contents may have changed."""
    if by_address:
        host = find_host(base_url=host.client.root_url)

    def next_tokens(name: str) -> list[float]:
        body = {"model": name, "prompt": "，".join(QUESTIONS * 3), "max_tokens": 1, "temperature": 0, "logprobs": 5}
        found = host.client.post("/v1/completions", body)["choices"][0]["logprobs"]["top_logprobs"][0]
        return sorted(found.values())

    folder, seen = tmp_path / "adapter", []
    for source in (tiny_run.run.adapter, tiny_run.half):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        load(host, find_source("again", folder))
        seen.append(next_tokens("again"))
        unload(host, "again")
    assert seen[0] != pytest.approx(seen[1], abs=0.01)
    assert seen[1] == pytest.approx(next_tokens("half"), abs=0.01)


def edited(adapter: Path, to: Path, **changes: object) -> Path:
    shutil.copytree(adapter, to)
    config = json.loads((to / "adapter_config.json").read_text())
    (to / "adapter_config.json").write_text(json.dumps({**config, **changes}))
    return to


@pytest.mark.parametrize(
    ("changes", "flags", "message"),
    [
        ({"r": 32}, (), "has rank 32, the server takes up to 8"),
        ({"use_dora": True}, (), "is a DoRA adapter"),
        ({"target_modules": ["lm_head"]}, (), "adapts lm_head, which vLLM cannot do"),
        ({}, ("--lora-target-modules", "q_proj", "k_proj"), "the server takes q_proj, k_proj only"),
        ({}, ("--no-enable-lora",), "started without adapters"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_server_is_asked(
    changes: dict[str, object], flags: tuple[str, ...], message: str, host: Host, tiny_run: TinyRun, tmp_path: Path
) -> None:
    assert host.state
    argv = [*host.state.argv, *flags]
    if "--no-enable-lora" in flags:
        argv = [arg for arg in argv if "enable-lora" not in arg]
    other = replace(host, state=host.state.model_copy(update={"argv": argv}))
    with pytest.raises(ConfigError, match=message):
        require_fit(other, find_source("x", edited(tiny_run.run.adapter, tmp_path / "x", **changes)))


def test_another_base_is_refused(host: Host, tiny_run: TinyRun, demo_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(demo_model, other)
    same = find_source("x", edited(tiny_run.run.adapter, tmp_path / "same", base_model_name_or_path=str(other)))
    require_fit(host, same)  # another folder, the same model
    with (other / "model.safetensors").open("r+b") as handle:
        handle.seek(-8, os.SEEK_END)
        handle.write(b"\1" * 8)
    with pytest.raises(ConfigError, match="was trained on"):
        require_fit(host, same)


def test_another_width_is_refused(host: Host, tiny_run: TinyRun, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    wide = edited(tiny_run.run.adapter, tmp_path / "wide", base_model_name_or_path="some/hub-id")
    tensors = load_file(wide / "adapter_model.safetensors")
    tensors = {name: torch.zeros(8, 4096) if "q_proj.lora_A" in name else value for name, value in tensors.items()}
    save_file(tensors, wide / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match="is for another model"):
        require_fit(host, find_source("x", wide))


def test_another_thinking_mode_is_refused(host: Host, tiny_run: TinyRun, tmp_path: Path) -> None:
    copy = tmp_path / "thinks"
    shutil.copytree(tiny_run.run.path, copy)
    manifest = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**manifest, "thinking": True}))
    with pytest.raises(ConfigError, match="trained with thinking on, the server answers with thinking off"):
        require_fit(host, find_source("x", copy))

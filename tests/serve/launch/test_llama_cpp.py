"""The llama.cpp command for a GGUF file says what vLLM's flags say: name, thinking mode, sampling, key."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.model.fingerprint import weights_fingerprint
from configs.recipe.schema import RunConfig, ServeConfig
from configs.run.merged import adapter_hash, origin
from configs.run.rundir import RunDir
from scripts.cli import app
from serve.launch.llama_cpp import llama_cpp_command, llama_cpp_line
from tests.facts import prepared

GENERATION = {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [1, 2]}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run that was merged to GGUF."""
    raw = {
        "name": "shop",
        "model": "any",
        "output_dir": str(tmp_path),
        "data": {"sources": [{"path": "rows.jsonl"}]},
        "serve": {"aliases": ["shop-latest"], "port": 8011},
    }
    run = RunDir.create(RunConfig.model_validate(raw))
    run.update(prepared=prepared())
    run.gguf.mkdir()
    (run.gguf / "shop-Q8_0.gguf").touch()
    run.merged.mkdir()
    (run.merged / "generation_config.json").write_text(json.dumps(GENERATION))
    return run


def value(line: str, flag: str) -> str:
    words = shlex.split(line)
    return words[words.index(flag) + 1]


def test_the_run_decides_what_it_decides_for_vllm(run: RunDir):
    line = llama_cpp_line(run, environ={})
    assert line is not None
    assert shlex.split(line)[0] == "llama-server"
    assert value(line, "--model").endswith("shop-Q8_0.gguf")
    assert value(line, "--alias") == "shop,shop-latest"
    assert json.loads(value(line, "--chat-template-kwargs")) == {"enable_thinking": False}
    assert (value(line, "--host"), value(line, "--port")) == ("127.0.0.1", "8011")
    assert (value(line, "--temp"), value(line, "--top-k"), value(line, "--top-p")) == ("0.6", "20", "0.95")


def test_overrides_go_into_it(run: RunDir):
    line = llama_cpp_line(run, ["serve.port=9000", "serve.max_model_len=8192", "serve.name=other"], environ={})
    assert line is not None
    assert (value(line, "--port"), value(line, "--ctx-size")) == ("9000", "8192")
    assert value(line, "--alias") == "other,shop-latest"


def test_the_key_is_named_and_never_shown(run: RunDir):
    for line in (
        llama_cpp_line(run, environ={"TUNESERVE_API_KEY": "secret"}),
        llama_cpp_line(run, ["serve.host=0.0.0.0"], environ={}),
    ):
        assert line is not None
        assert line.startswith('LLAMA_API_KEY="${TUNESERVE_API_KEY:?')
        assert "secret" not in line


def test_a_model_that_cannot_think_gets_no_thinking_flags(tmp_path: Path):
    command = llama_cpp_command(tmp_path / "m.gguf", "m", ServeConfig(), family="none", thinking=False, generation={})
    assert not {"--chat-template-kwargs", "--reasoning-format", "--temp"} & set(command)


def test_a_run_with_only_a_gguf_file_prints_it(run: RunDir):
    (run.merged / "generation_config.json").unlink()
    run.merged.rmdir()
    shown = CliRunner().invoke(app, ["serve", str(run.path), "--print-only"])
    assert shown.exit_code == 0, shown.output
    assert "llama-server --model" in shown.output
    assert "vllm" not in shown.output


def test_a_run_without_a_gguf_file_has_no_such_command(run: RunDir):
    (run.gguf / "shop-Q8_0.gguf").unlink()
    assert llama_cpp_line(run) is None


def test_beside_vllms_command_it_is_a_comment(run: RunDir, demo_model: Path):
    shutil.copytree(demo_model, run.merged, dirs_exist_ok=True)
    shown = CliRunner().invoke(app, ["serve", str(run.path), "--print-only"]).output.splitlines()
    assert "--served-model-name shop" in shown[0]
    assert shown[1].startswith("# llama-server --model")


def test_a_file_of_other_weights_has_no_such_command(run: RunDir, capsys: pytest.CaptureFixture[str]):
    (run.merged / "config.json").write_text("{}")
    (run.merged / "model.safetensors").write_bytes(b"before")
    with run.stage("gguf", {"merged.weights": weights_fingerprint(run.merged)}, [run.gguf]):
        pass
    assert llama_cpp_line(run) is not None
    (run.merged / "model.safetensors").write_bytes(b"after")
    assert llama_cpp_line(run) is None
    said = capsys.readouterr()
    assert said.out == ""
    assert "is not of the merged weights; to write it again: tuneserve merge" in " ".join(said.err.split())


@pytest.mark.parametrize("harm", ["trained again", "merged again", "cut", "flipped", "damaged merge"])
def test_a_file_that_is_not_of_the_runs_weights_is_not_offered_where_those_were_removed(run: RunDir, harm: str):
    file, adapter = run.gguf / "shop-Q8_0.gguf", run.adapter / "adapter_config.json"
    adapter.parent.mkdir()
    adapter.write_text("{}")
    file.write_bytes(b"GGUF")
    (run.gguf / "another.gguf").touch()
    with run.stage("merge", {"adapter": adapter_hash(run)}):
        pass
    with run.stage("gguf", {}, [file]) as record:
        record.figures["made_of"] = origin(run.read().stages["merge"])
    shutil.rmtree(run.merged)
    assert value(llama_cpp_line(run) or "", "--model").endswith("shop-Q8_0.gguf")
    manifest = run.read()
    if harm == "trained again":
        adapter.write_text('{"r": 8}')
    elif harm == "cut":
        file.write_bytes(b"GG")
    elif harm == "flipped":
        file.write_bytes(b"GGUE")
    else:
        stage = manifest.stages["merge"]
        changed = {"inputs": stage.inputs | {"merge.scale": 0.5}} if harm == "merged again" else {"state": "failed"}
        manifest.stages["merge"] = stage.model_copy(update=changed)
        run.manifest_file.write_text(manifest.model_dump_json())
    assert llama_cpp_line(run) is None

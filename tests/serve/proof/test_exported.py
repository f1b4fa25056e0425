"""`tuneserve serve DIR --against RUN`: an exported folder is proved against its run, and its loss is stated."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from configs.errors import ConfigError, TuneserveError
from configs.model.files import weight_files
from configs.run.merged import EXPORTED, export_note
from serve import service
from serve.launch.command import installed_device
from serve.launch.job import ServeJob, prepare
from serve.process.server import VllmServer
from tests.serve.conftest import TinyRun
from tests.serve.fakes import free_port
from trainer.export.adapter import merge_any
from trainer.export.changes import index_weights
from trainer.export.int8_fp8 import export_8bit
from trainer.export.new_folder import Export
from trainer.export.tensors import TensorReader


def job(folder: Path, run: TinyRun) -> ServeJob:
    return prepare(folder, against=run.run.path, overrides=[f"serve.port={free_port()}"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_an_exported_folder_is_proved_and_its_loss_is_stated(kind: str, tiny_run: TinyRun, tmp_path: Path) -> None:
    if installed_device() != "cpu":
        pytest.skip("starts the CPU build of vLLM")
    folder = tmp_path / kind
    merge_any(tiny_run.run.adapter, folder, kind)  # type: ignore[arg-type]
    console = Console(record=True, width=300, file=io.StringIO())
    exported = job(folder, tiny_run)
    service.serve_detached(exported, console)
    try:
        checks = tiny_run.run.read().facts.exported[str(folder)]
    finally:
        service.stop(exported.command.port)
    assert checks.parity.equal == checks.parity.rows
    proof = checks.proof
    assert proof
    assert proof.passed
    assert (proof.rounded, proof.tolerance) == (True, 0.25)
    assert 0.001 < proof.mean_gap / proof.mean_effect < 0.25
    assert "rounded weights stay close to the trained ones: off by" in console.export_text()


@pytest.mark.slow
def test_a_folder_without_the_adapter_is_refused(
    adapter_server: VllmServer, tiny_run: TinyRun, demo_model: Path, tmp_path: Path
) -> None:
    """The shared server answers as the base: in 16 bits instead of 8, which is nearer to what was trained."""
    tensors = TensorReader(index_weights(weight_files(demo_model)))
    folder = export_8bit(tensors, Export(demo_model, tmp_path / "base-int8"), "int8")
    exported = prepare(folder, against=tiny_run.run.path, name="tiny-base")
    assert exported.rounded
    with pytest.raises(TuneserveError, match="rounded weights are NOT the trained ones") as failure:
        service.Acceptance(exported, Console(file=io.StringIO()))(adapter_server)
    assert "export again from this run's adapter" in failure.value.next_step


def test_only_weights_in_fewer_bits_have_the_wider_bound(tiny_run: TinyRun, demo_model: Path, tmp_path: Path) -> None:
    assert not job(demo_model, tiny_run).rounded
    rounded = tmp_path / "rounded"
    rounded.mkdir()
    for file in demo_model.iterdir():
        (rounded / file.name).symlink_to(file)
    (rounded / "config.json").unlink()
    config = json.loads((demo_model / "config.json").read_text())
    (rounded / "config.json").write_text(json.dumps({**config, "quantization_config": {"format": "int-quantized"}}))
    found = job(rounded, tiny_run)
    assert found.rounded
    assert found.command.target.thinking is False  # as it was trained
    assert service.JOB.validate_json(service.JOB.dump_json(found)) == found
    (rounded / EXPORTED).write_bytes(export_note("of a run trained again while the server started", 1)[EXPORTED])
    with pytest.raises(ConfigError, match="was exported from another adapter"):
        service.Acceptance(found, Console(file=io.StringIO()))(cast(VllmServer, None))


def test_against_is_for_folders_only(tiny_run: TinyRun, demo_model: Path) -> None:
    run = tiny_run.run.path
    wrong = ({"what": run}, {"what": demo_model, "adapter": True}, {"adapters": {"a": run}}, {})
    for arguments in wrong:
        with pytest.raises(ConfigError, match="--against RUN is for a model folder"):
            prepare(against=run, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_what_vllm_does_not_round_while_loading_is_refused_with_the_way_to_it(precision: str, demo_model: Path) -> None:
    with pytest.raises(ConfigError, match=f"--format {precision}`, then `tuneserve serve DIR --against RUN`"):
        prepare(demo_model, overrides=[f"serve.precision={precision}"])

"""`tuneserve bench`: the load, the ratio to an earlier measurement, and servers that are started to be measured."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from configs.errors import ConfigError, TuneserveError
from configs.model.files import check_model_folder, safetensors_shapes
from configs.model.known_shapes import known_config
from configs.model.mixed_shape import shape_of
from configs.recipe.schema import ServeConfig
from scripts.verbs.bench import bench as bench_verb
from serve.bench.blank_adapter import write_blank_adapter
from serve.bench.running import BenchPoint, Load, measure, measured_before, table
from serve.bench.started import bench_started
from serve.launch.command import build_command, installed_device
from serve.launch.job import prepare
from serve.launch.preflight import check_adapter, preflight
from serve.launch.target import folder_target, read_adapter
from tests.serve.conftest import TinyRun

ROOT = Path(__file__).parents[3]


@pytest.fixture
def shape_only(demo_model: Path, tmp_path: Path) -> Path:
    """The embedded model without its weights."""
    folder = tmp_path / "shape"
    folder.mkdir()
    for file in demo_model.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).symlink_to(file)
    return folder


def point(concurrency: int, tokens_per_s: float) -> BenchPoint:
    return BenchPoint(concurrency, 10, 0, 1.0, 10.0, tokens_per_s, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def shown(points: list[BenchPoint], others: dict[int, BenchPoint] | None = None) -> str:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table(points, others, "merged"))
    return console.export_text()


def test_few_in_flight_are_asked_less() -> None:
    load = Load(prompts=200)
    assert [load.requests(n) for n in (1, 4, 8, 32, 400)] == [25, 100, 200, 200, 400]


def test_the_table_shows_every_percentile_and_the_ratio_in_80_columns() -> None:
    text = shown([point(8, 1234), point(32, 50)], {8: point(8, 2468)})
    for part in ("TTFT", "TPOT", "ITL", "1 (2)", "3.0 (4.0)", "5.0 (6.0)", "1,234", "0.50", "/ merged"):
        assert part in text
    assert "merged" not in shown([point(8, 1234)])


def test_only_the_same_load_is_compared(tmp_path: Path) -> None:
    load, file = Load((1, 8)), tmp_path / "bench.json"
    assert measured_before(file, load) == {}
    file.write_text(json.dumps({"model": "x", "load": asdict(load), "points": [asdict(point(8, 5))]}))
    assert measured_before(file, replace(load, concurrencies=(8, 32))) == {8: point(8, 5)}
    assert measured_before(file, replace(load, input_tokens=9)) == {}
    written = file.read_text(encoding="utf-8")
    for damaged in ("{", "[]", "{}", written.replace('"points": [', '"points": [5, '), written.replace("8", '"x"')):
        file.write_text(damaged, encoding="utf-8")
        assert measured_before(file, load) == {}


def test_a_users_file_of_the_same_name_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "bench-8.json"
    file.write_text('{"mine": 1}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bench-8.json is in it, which is no measurement of ours"):
        measure("http://127.0.0.1:9", "m", tmp_path, tmp_path, Load())
    assert file.read_text(encoding="utf-8") == '{"mine": 1}'


def test_a_measurement_ends_with_the_command_and_keeps_another_out_of_its_folder(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from serve.bench import running
asks = "import os, time; open('asks.new', 'w').write(str(os.getpid())); os.rename('asks.new', 'asks'); time.sleep(60)"
running._program = lambda device: [sys.executable, "-c", asks]
running.measure("http://127.0.0.1:9", "m", Path("m"), Path(), running.Load())
"""
    command, environ = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environ) as first:
        while not (tmp_path / "asks").exists():
            assert first.poll() is None
            time.sleep(0.05)
        asks = psutil.Process(int((tmp_path / "asks").read_text()))
        with pytest.raises(TuneserveError, match="another measurement is writing there"):
            measure("http://127.0.0.1:9", "m", tmp_path, tmp_path, Load())
        first.kill()
    assert psutil.wait_procs([asks], timeout=10)[1] == []


def test_a_blank_adapter_fits_the_model_and_changes_nothing(demo_model: Path, tiny_run: TinyRun, tmp_path: Path):
    blank = write_blank_adapter("blank", demo_model, 8, tmp_path / "blank")
    assert read_adapter("blank", blank.folder) == blank
    check_adapter(blank)
    zeros, trained = (load_file(f / "adapter_model.safetensors") for f in (blank.folder, tiny_run.run.adapter))
    assert {name: t.shape for name, t in zeros.items()} == {name: t.shape for name, t in trained.items()}
    assert not any(t.any() for t in zeros.values())


@pytest.mark.parametrize("model", ["Qwen/Qwen3.5-9B", "Qwen/Qwen3-30B-A3B"])
def test_a_blank_adapter_takes_the_layers_of_a_hybrid_and_of_a_mixture(model: str, tmp_path: Path) -> None:
    config = known_config(model)
    assert config
    (tmp_path / "config.json").write_text(json.dumps(config))
    blank = write_blank_adapter("blank", tmp_path, 1, tmp_path / "blank")
    shapes = safetensors_shapes(blank.folder / "adapter_model.safetensors")
    layers = [name.removesuffix(".lora_A.weight") for name in shapes if name.endswith(".lora_A.weight")]
    counted = Counter(layer.rpartition(".")[2] for layer in layers)
    linears = shape_of(config).linears  # type: ignore[union-attr]
    assert counted == {module: count for module, (_, _, count) in linears.items()}
    assert set(blank.modules) == set(linears)
    if model == "Qwen/Qwen3.5-9B":
        # Every fourth layer has attention; the names are those that the whole model gives its text part.
        assert shapes["base_model.model.model.language_model.layers.3.self_attn.q_proj.lora_B.weight"] == [8192, 1]
        assert shapes["base_model.model.model.language_model.layers.4.linear_attn.in_proj_qkv.lora_A.weight"] == [
            1,
            4096,
        ]
    else:
        assert "base_model.model.model.layers.47.self_attn.o_proj.lora_A.weight" in shapes


def test_made_up_weights_need_no_files(shape_only: Path) -> None:
    with pytest.raises(ConfigError, match="no weights"):
        check_model_folder(shape_only)
    target = folder_target(shape_only, dummy=True)
    for device in ("cpu", "cuda"):
        command = build_command(target, ServeConfig(), ["--load-format", "dummy"], device=device, environ={})  # type: ignore[arg-type]
        assert command.dummy
        files = next(f for f in preflight(command, ServeConfig()) if f.name == "files")
        assert files.level == "ok"
        assert "makes up the weights" in files.message
    assert prepare(shape_only, extra=["--load-format", "dummy"]).command.dummy


def test_a_running_server_is_measured_as_it_is() -> None:
    class Context:
        args: tuple[str, ...] = ()

    with pytest.raises(ConfigError, match="measured as it is") as failure:
        bench_verb(Context(), "8000", cold=True)  # type: ignore[arg-type]
    assert "--start" in failure.value.next_step


@pytest.mark.slow
def test_servers_are_started_measured_and_gone(shape_only: Path, tmp_path: Path) -> None:
    if installed_device() != "cpu":
        pytest.skip("starts the CPU build of vLLM")
    load = Load((1, 4), prompts=12, input_tokens=32, output_tokens=8)
    console = Console(width=200, file=io.StringIO(), record=True)
    dummy = ["--load-format", "dummy"]
    # Merged weights that were measured before.
    before = tmp_path / "out" / "merged" / "bench.json"
    before.parent.mkdir(parents=True)
    (tmp_path / "out" / ".tuneserve-bench" / "cache").mkdir(parents=True)  # what a killed one left
    before.write_text(json.dumps({"model": "x", "load": asdict(load), "points": [asdict(point(4, 5))]}))
    beside = bench_started(
        str(shape_only), load, tmp_path / "out", console, adapter=True, rank=8, cold=True, extra=dummy
    )
    assert [start.cache for start in beside.starts] == ["cold", "warm"]
    for start in beside.starts:
        assert sum(start.phases.values()) == pytest.approx(start.seconds, abs=0.5)
        assert "importing" in start.sentence()
    assert json.loads((beside.folder / "bench.json").read_text())["model"] == "blank"
    text = console.export_text()
    assert "compile cache cold: ready after" in text
    assert "/ merged" in text
    assert [p.concurrency for p in beside.points] == [1, 4]
    assert all(p.failed == 0 and p.output_tokens_per_s > 0 for p in beside.points)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["adapter", "merged"]
    assert (beside.folder / "bench.png").stat().st_size > 10_000
    assert measured_before(beside.folder / "bench.json", load) == {p.concurrency: p for p in beside.points}
    assert measured_before(beside.folder / "bench.json", replace(load, output_tokens=9)) == {}

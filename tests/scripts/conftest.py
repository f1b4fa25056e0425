"""One complete run of the demo, without a network, that the tests here share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from configs.run.rundir import RunDir

ROOT = Path(__file__).parents[2]
WATCH_NETWORK = Path(__file__).with_name("watch_network")
CLI = [sys.executable, "-m", "scripts.cli"]


def without_network() -> list[str]:
    """A command prefix that cuts the network but for loopback; empty where the kernel does not let us."""
    prefix = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return []
    allowed = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if allowed else []


@dataclass(frozen=True)
class Demo:
    """What `tuneserve run configs/demo.yaml` left behind."""

    run: RunDir
    output: str
    calls: list[tuple[str, ...]]
    """Every (address, event, program) that any of its Python processes connected to or looked up."""

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.run.report / "report.json").read_text(encoding="utf-8"))

    def task(self, name: str) -> dict[str, Any]:
        return next(task for task in self.report["tasks"] if task["name"] == name)


def environment(folder: Path) -> dict[str, str]:
    """Nothing outside `folder` is written. A second thread costs such small models more than it gives."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "TUNESERVE_CACHE": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONUNBUFFERED": "1",
        "LANG": "C.UTF-8",
    }


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    calls = folder / "calls"
    path = os.pathsep.join(filter(None, (str(WATCH_NETWORK), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [*without_network(), *CLI, "run", "configs/demo.yaml", "--no-serve", f"output_dir={folder / 'runs'}"],
        cwd=ROOT,
        env=environment(folder) | {"WATCH_NETWORK": str(calls), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    seen = [tuple(line.split("\t")) for line in calls.read_text(encoding="utf-8").splitlines()]
    return Demo(RunDir.open(folder / "runs" / "demo"), done.stdout, seen)

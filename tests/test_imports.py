"""The fences between rooms and wings (.importlinter) hold, and catch what climbs over them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("configs", "trainer", "serve", "eval", "scripts")


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    env = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, timeout=60, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The modules alone, with the contracts."""
    folder = tmp_path_factory.mktemp("copy")
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            target = folder / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    shutil.copyfile(ROOT / ".importlinter", folder / ".importlinter")
    return folder


def test_no_module_imports_what_stands_above_it(copy: Path) -> None:
    done = linted(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract", "named"),
    [
        (
            "configs/machine/gpus.py",
            "import trainer.plan.view",
            "Data flow one way",
            "configs.machine.gpus -> trainer.plan.view",
        ),
        (
            "configs/disk/files.py",
            "import configs.run.rundir",
            "The wings of configs",
            "configs.disk.files -> configs.run",
        ),
        (
            "trainer/data/rows.py",
            "import trainer.sft.stage",
            "The wings of trainer",
            "trainer.data.rows -> trainer",
        ),
        (
            "serve/state/servers.py",
            "import serve.service",
            "The wings of serve",
            "serve.state.servers -> serve",
        ),
        ("eval/metrics/text.py", "import eval.compare.gate", "The wings of eval", "eval.metrics.text -> eval.compare"),
        ("eval/utils.py", "", "The wings of eval", "eval.utils"),
        ("scripts/run/facts.py", "import scripts.bench.client", "The command line needs", "scripts.run.facts"),
        ("eval/ask/endpoint.py", "import torch", "nothing of the training stack", "eval.ask.endpoint -> torch"),
    ],
)
def test_what_climbs_over_a_fence_is_named(file: str, line: str, contract: str, named: str, copy: Path) -> None:
    planted = copy / file
    before = planted.read_text(encoding="utf-8") if planted.exists() else None
    planted.write_text(f"{before or ''}\n\ndef _planted() -> None:\n    {line or 'pass'}\n", encoding="utf-8")
    try:
        done = linted(copy)
    finally:
        planted.unlink() if before is None else planted.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stdout
    assert any(contract in told and " BROKEN" in told for told in done.stdout.splitlines()), done.stdout
    assert named in done.stdout

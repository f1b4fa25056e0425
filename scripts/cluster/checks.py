"""What the tools themselves say of a file that is written for them, where they are installed."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from scripts.cluster.files import Tool

Verdict = tuple[bool | None, str]
"""Whether the tool takes it (None where it is not here), and what is said."""

_TORCHRUN = "import sys; from torch.distributed.run import parse_args; parse_args(sys.argv[1:])"
_SKY = "import sys, sky; sky.Task.from_yaml(sys.argv[1])"
_RAY = """
import sys
from ray.scripts.scripts import start
start.make_context("ray start", sys.argv[1:], resilient_parsing=False)
"""


def checked(file: Path, tool: Tool) -> list[Verdict]:
    """What each tool that reads the file says."""
    return [verdict for check in _CHECKS[tool] for verdict in check(file)]


def _bash(file: Path) -> list[Verdict]:
    return [_run("bash -n", ["bash", "-n", str(file)])]


def _torchrun(file: Path) -> list[Verdict]:
    """torchrun's own parser on its line; it starts nothing."""
    if importlib.util.find_spec("torch") is None:
        return [(None, "torchrun is not here: its line is not checked")]
    words = shlex.split(next(line for line in file.read_text(encoding="utf-8").splitlines() if "torchrun --" in line))
    given = words[words.index("torchrun") + 1 :]
    return [_run("torchrun's parser", [sys.executable, "-c", _TORCHRUN, *given])]


def _slurm(file: Path) -> list[Verdict]:
    if shutil.which("sbatch") is None:
        return [(None, "sbatch is not here: `sbatch --test-only` there checks the job")]
    return [_run("sbatch --test-only", ["sbatch", "--test-only", str(file)])]


def _sky(file: Path) -> list[Verdict]:
    if importlib.util.find_spec("sky") is None:
        return [(None, "SkyPilot is not here: `sky launch --dryrun` there checks the task")]
    return [_run("SkyPilot's parser", [sys.executable, "-c", _SKY, str(file)])]


def _ray(file: Path) -> list[Verdict]:
    if importlib.util.find_spec("ray") is None:
        return [(None, "Ray is not here: its lines are not checked")]
    starts = [line for line in file.read_text(encoding="utf-8").splitlines() if ") exec ray start " in line]
    found = []
    for line in starts:
        words = shlex.split(line.partition(") exec ray start ")[2].removesuffix(";;"))
        found.append(_run("Ray's parser", [sys.executable, "-c", _RAY, *words]))
    return found


def _run(name: str, command: list[str]) -> Verdict:
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    said = (done.stderr or done.stdout).strip().splitlines()
    return (True, name) if done.returncode == 0 else (False, f"{name}: {said[-1] if said else 'failed'}")


_CHECKS: dict[Tool, list[Callable[[Path], list[Verdict]]]] = {
    "torchrun": [_bash, _torchrun],
    "slurm": [_bash, _torchrun, _slurm],
    "skypilot": [_sky, _torchrun],
    "ray": [_bash, _ray],
}

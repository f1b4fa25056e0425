"""An `nvidia-smi` that answers as a driver would that is not here."""

from __future__ import annotations

import os
from pathlib import Path

V100 = "Tesla V100-SXM2-16GB, 7.0, 535.104.05, 16384 MiB"
A100 = "NVIDIA A100-SXM4-80GB, 8.0, 580.95.05, 81920 MiB"
QUERY = "--query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader"


def fake_smi(folder: Path, *lines: str, code: int = 0, script: str = "") -> dict[str, str]:
    """Writes it into `folder`/bin; the environment in which it is found first, with what Triton compiles with.

    Args:
        folder: a test's own.
        lines: what it answers to the query that set-up makes; to any other it fails.
        code: its exit code.
        script: shell lines that it runs instead.
    """
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    answer = "\n".join([f"cat <<'END'\n{chr(10).join(lines)}\nEND" if lines else "", f"exit {code}"])
    wrong = f'[ "$*" = "{QUERY}" ] || {{ echo "Field is not a valid field to query."; exit 2; }}'
    program.write_text("#!/bin/sh\n" + (script or f"{wrong}\n{answer}") + "\n", encoding="utf-8")
    program.chmod(0o755)
    (folder / "bin" / "Python.h").touch()
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "CC": "cc",
        "CPATH": str(folder / "bin"),
    }
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    return environment

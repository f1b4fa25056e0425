"""One measurement in a process of its own, which gives memory, threads and patched libraries back when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_LOG_LINES = 20


def environment() -> dict[str, str]:
    """This process's, with the repository in front of what Python imports from."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def run_child(
    module: str,
    arguments: Sequence[str],
    result: Path | None = None,
    *,
    limit_s: float | None = None,
    python: str = sys.executable,
    log: Path | None = None,
) -> dict[str, Any]:
    """Runs `python -m MODULE ARGUMENTS`, with the repository importable, in the current folder.

    Args:
        result: file in which the child leaves a JSON object, if it is to leave any; an older one is removed first.
        limit_s: seconds after which it is ended.
        log: file for what it prints; by default that goes through to the terminal.

    Returns:
        What the child left, with `process_s`, the seconds of the whole process. `error` says what went wrong: an exit
        code, a time that was up, no result; with the last lines of the log where there is one.
    """
    if result:
        result.unlink(missing_ok=True)
    began = time.monotonic()
    out = log.open("w", encoding="utf-8") if log else None
    try:
        command = [python, "-m", module, *arguments]
        done = subprocess.run(command, stdout=out, stderr=out, env=environment(), timeout=limit_s, check=False)
        error = f"exit code {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        error = f"not done within {limit_s:.0f} s"
    finally:
        if out:
            out.close()
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8")) if result and result.is_file() else {}
    if result and not found:
        error = error or "left no result"
    if error and log:
        error = "\n".join([error, *log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]])
    if error:
        found.setdefault("error", error)
    return found | {"process_s": round(time.monotonic() - began, 1)}


def must_run(module: str, arguments: Sequence[str], result: Path | None = None, **settings: Any) -> dict[str, Any]:
    """`run_child`, which ends this program with the child's error where it has one."""
    found = run_child(module, arguments, result, **settings)
    if "error" in found:
        sys.exit(f"{module} {' '.join(arguments)}: {found['error']}")
    return found

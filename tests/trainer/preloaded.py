"""The training stack loaded once: a process that forks for every stage which a test asks for.

`python -m trainer STAGE RUN` spends most of a small run on its imports. Here each stage still has a process, an
environment and a working directory of its own, and runs the same `main`; only the imports are shared. A test that
must look inside, or break something there, gives a script that runs in the place of `main`. Run as a script it is
the process that forks.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path


class Preloaded:
    """Asks the loaded process for stages, until it is closed."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` is what the imports see."""
        self._scratch = tempfile.TemporaryDirectory(prefix="preloaded-")
        self._folder = Path(self._scratch.name)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def close(self) -> None:
        """Ends the process and removes what the stages printed."""
        self._process.communicate(timeout=30)
        self._scratch.cleanup()

    def run(
        self, arguments: list[str], cwd: Path, environment: Mapping[str, str], script: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What `python -m trainer *arguments` gives there, or `python -c script *arguments`."""
        out, err = self._folder / "stage.out", self._folder / "stage.err"
        job = {
            "arguments": arguments, "cwd": str(cwd), "env": dict(environment), "out": str(out), "err": str(err),
            "script": script,
        }  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process with the training stack ended"
        texts = (file.read_text(encoding="utf-8", errors="replace") for file in (out, err))
        program = ["-m", "trainer"] if script is None else ["-c", script]
        return subprocess.CompletedProcess(["python", *program, *arguments], int(answer), *texts)


def fork_stages() -> None:
    """Loads the stack, then forks for every job that comes on stdin and answers with its exit code."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from trainer import environment

    environment.settle(Path(os.environ["TUNESERVE_CACHE"]))
    # Training first: unsloth must come before what it patches.
    for module in ("sft.stage", "export.merge", "data.prepare", "data.preview"):
        importlib.import_module(f"trainer.{module}")
    from trainer.__main__ import main

    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            os.chdir(job["cwd"])
            os.environ.clear()
            os.environ.update(job["env"])
            for descriptor, file in ((1, job["out"]), (2, job["err"])):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
            try:
                if job["script"] is None:
                    code = main(job["arguments"])
                else:
                    sys.argv = ["-c", *job["arguments"]]
                    exec(compile(job["script"], "<script>", "exec", dont_inherit=True), {"__name__": "__main__"})
                    code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else bool(end.code)
            except BaseException:  # noqa: BLE001 - shown, as Python itself would
                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


if __name__ == "__main__":
    fork_stages()

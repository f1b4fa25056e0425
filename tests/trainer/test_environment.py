"""What stands before Unsloth is imported: the server's package is out of its reach."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.conftest import stage_environment


@pytest.mark.slow
def test_a_vllm_that_this_processor_cannot_run_does_not_end_the_trainer(tmp_path: Path) -> None:
    """Unsloth force-loads `vllm._C`, which vLLM itself picks by processor: here it ends whoever loads it."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "vllm" / "_C.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n", encoding="utf-8"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path\n"
        "from trainer import environment\n"
        f"environment.settle(Path({str(tmp_path / 'cache')!r}))\n"
        "import unsloth, trl\n"
        "print(sorted(name for name, module in sys.modules.items() if name.partition('.')[0] == 'vllm' and module))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=stage_environment(tmp_path), check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert done.stdout.splitlines()[-1] == "[]"

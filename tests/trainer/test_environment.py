"""What stands before Unsloth is imported: nothing that it patches, and the server's package out of its reach."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import stage_environment

pytestmark = pytest.mark.slow

PATCHED = ("transformers", "trl", "peft")
LOOK = f"""
import json, sys
from pathlib import Path
folder = sys.argv[1]
sys.path.insert(0, folder)
import trainer.sft.stage
early = [name for name in ("torch", *{PATCHED}) if name in sys.modules]
from trainer import environment
environment.settle(Path(folder) / "cache")
order = []
class Watch:
    def find_spec(self, name, path=None, target=None): order.append(name)
sys.meta_path.insert(0, Watch())
import trainer.sft.loop
found = [name for name, module in sys.modules.items() if name.partition(".")[0] == "vllm" and module]
import os
from torch._inductor.runtime.cache_dir_utils import cache_dir
compiled = [cache_dir(), os.environ["UNSLOTH_COMPILE_LOCATION"]]
others = [name for name in os.environ if name.startswith("ACCELERATE_") or name == "LOCAL_RANK"]
from importlib.util import find_spec
found += [name for name in ("kernels",) if find_spec(name)]
print(json.dumps({{"others": others, "early": early, "order": order, "vllm": found, "compiled": compiled}}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process that imports the trainer sees, beside a vLLM that ends whoever loads it.

    Unsloth force-loads `vllm._C`, which vLLM itself picks by processor.
    """
    folder = tmp_path_factory.mktemp("environment")
    for package in ("vllm", "kernels"):
        (folder / package).mkdir()
    (folder / "kernels" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "vllm" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "vllm" / "_C.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(folder)],
        capture_output=True, text=True, check=False,
        env=stage_environment(folder) | {"ACCELERATE_MIXED_PRECISION": "1", "LOCAL_RANK": "1"},
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"cache": folder / "cache"}


def test_compiled_code_lies_where_nobody_else_could_have_put_it(seen: dict[str, Any]) -> None:
    for folder in map(Path, seen["compiled"]):
        assert folder.parent == seen["cache"]
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_vllm_that_this_processor_cannot_run_and_code_of_a_hub_are_out_of_reach(seen: dict[str, Any]) -> None:
    assert seen["vllm"] == []


def test_nothing_but_the_recipe_sets_the_training_up(seen: dict[str, Any]) -> None:
    assert seen["others"] == []


def test_unsloth_is_imported_before_what_it_patches(seen: dict[str, Any]) -> None:
    assert not seen["early"], "imported too early"
    order = seen["order"]
    assert order.index("unsloth") < min(order.index(name) for name in PATCHED), order[:20]

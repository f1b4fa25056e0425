"""Two processes train as one does: the same loss, the same gradient, the same adapter, live and recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import DEMO_MODEL

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("together_child.py")
WAYS = ["padded", "live", "recorded", "soft", "soft recorded"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes found, which are started as torchrun starts them."""
    if not (DEMO_MODEL / "model.safetensors").is_file():
        pytest.skip("the embedded model is not built")
    out = tmp_path_factory.mktemp("together") / "found.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            str(CHILD), str(DEMO_MODEL), str(out),
        ],
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parents[3]), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    loaded: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("way", WAYS)
def test_loss_and_gradient_of_every_step_are_those_of_one_process(found: dict[str, Any], way: str) -> None:
    assert len(found[way]["losses"]) == 3
    assert found[way]["losses"] == pytest.approx(found[way]["one"]["losses"], rel=1e-4)
    assert found[way]["norms"] == pytest.approx(found[way]["one"]["norms"], rel=1e-3)
    assert min(found[way]["cosines"]) > 0.99999
    assert found[way]["lengths"] == pytest.approx([1, 1, 1], rel=1e-3)
    assert found[way]["adapter_cosine"] > 0.99999


@pytest.mark.parametrize("way", WAYS)
def test_every_row_is_trained_once(found: dict[str, Any], way: str) -> None:
    # Fifteen rows, seven a step: in the last step one process has none.
    assert found[way]["tokens"] == found[way]["one"]["tokens"]


@pytest.mark.parametrize("way", ["recorded", "soft recorded"])
def test_passes_come_from_recordings_on_both(found: dict[str, Any], way: str) -> None:
    replayed = [passes[0] for passes in found[way]["passes"]]
    assert [passes[1] for passes in found[way]["passes"]] == [0, 0]
    assert sum(replayed) == 9
    assert min(replayed) >= 4


def test_soft_targets_are_others_than_the_written_tokens(found: dict[str, Any]) -> None:
    assert found["soft"]["norms"] != pytest.approx(found["live"]["norms"], rel=3e-3)


def test_the_libraries_see_one_process(found: dict[str, Any]) -> None:
    # transformers would multiply the live loss by the number of processes, and leave a recorded one as it is.
    assert {found[way]["processes"] for way in WAYS} == {1}
    assert found["seen"] == []
    assert not found["default_group"]

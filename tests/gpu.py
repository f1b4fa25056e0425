"""What the tests on a GPU share: `bash scripts/test_gpu.sh [MODEL]`; without a GPU they are skipped.

MODEL is a chat model with real weights, which some of them need; the others take it too, or else the embedded model.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from configs.machine.gpus import visible_cards
from tests.trainer.conftest import DEMO_MODEL

REAL_MODEL = os.environ.get("TUNESERVE_GPU_MODEL", "")
MODEL = Path(REAL_MODEL) if REAL_MODEL else DEMO_MODEL

needs_real_model = pytest.mark.skipif(not REAL_MODEL, reason="needs real weights: bash scripts/test_gpu.sh MODEL")
needs_two_gpus = pytest.mark.skipif(len(visible_cards()) < 2, reason="needs two GPUs")


def gpu_environment(folder: Path) -> dict[str, str]:
    """For children that see the GPU and write nothing outside `folder`."""
    return os.environ | {
        "TUNESERVE_CACHE": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))),
        "LANG": "C.UTF-8",
    }

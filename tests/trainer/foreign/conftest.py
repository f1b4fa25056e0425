"""Adapters of other trainers, made once, and run directories that judge them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.recipe.load import validate
from configs.run.rundir import RunDir
from tests.trainer.conftest import DEMO_MODEL
from tests.trainer.foreign.made import train_adapter, write_facts

Foreign = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other make a model this small many times slower."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows that every one of these adapters was trained on."""
    return write_facts(tmp_path_factory.mktemp("facts"))


@pytest.fixture(scope="session")
def foreign(facts: Path, tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    """Trains an adapter by PEFT alone, on rows in the form of a named rendering; the end token may be left out."""
    made: dict[tuple[str, bool], Path] = {}

    def make(rendering: str, *, end_trained: bool = True) -> Path:
        if (rendering, end_trained) not in made:
            folder = tmp_path_factory.mktemp("foreign") / rendering
            train_adapter(facts, rendering, folder, end_trained=end_trained)
            made[rendering, end_trained] = folder
        return made[rendering, end_trained]

    return make


@pytest.fixture
def judged(facts: Path, tmp_path: Path) -> Callable[..., RunDir]:
    """The run directory of a judgement, with nothing done in it."""

    def make(model: Path, **foreign: object) -> RunDir:
        raw = {
            "name": "judge",
            "model": str(DEMO_MODEL),
            "output_dir": str(tmp_path / "runs"),
            "foreign": {"model": str(model), **foreign},
            "data": {"sources": [str(facts)], "eval_split": 0.2},
            "proof": {"rows": 6, "parity_rows": 8},
        }
        return RunDir.create(validate(raw, tmp_path / "judge.yaml"))

    return make

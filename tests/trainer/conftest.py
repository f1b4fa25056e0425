"""One real training of the embedded model on the CPU, shared by every test that looks at its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.recipe.load import validate
from configs.run.rundir import RunDir
from tests.trainer.preloaded import Preloaded

DEMO_MODEL = Path(__file__).parents[2] / "configs" / "demo" / "model"
PRODUCTS = ["云栖台灯", "海风净水器", "松间加湿器", "白露空气炸锅", "远山门锁"]


def shop_rows(count: int) -> list[dict[str, str]]:
    """Questions on a shop's products in the alpaca layout, none like the other."""
    return [
        {
            "instruction": f"{PRODUCTS[i % len(PRODUCTS)]}第{i}款卖多少钱？",
            "input": f"第{i}款的价格是{100 + 7 * i}元。",
            "output": f"{100 + 7 * i}元。",
        }
        for i in range(count)
    ]


def write_jsonl(file: Path, rows: Sequence[Any]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def make_run(folder: Path, name: str, **sections: Any) -> RunDir:
    """A run directory in `folder` for the embedded model and the shop's rows, unless `sections` says otherwise."""
    data = folder / "shop.jsonl"
    if not data.exists():
        write_jsonl(data, shop_rows(130))
    recipe: dict[str, Any] = {
        "name": name,
        "model": str(DEMO_MODEL),
        "output_dir": str(folder / "runs"),
        "data": {"sources": str(data), "eval_split": 10 / 130},
        "proof": {"rows": 8, "parity_rows": 8},
        **sections,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return RunDir.create(validate(recipe, file))


def stage_command(stage: str, run: RunDir, *options: str) -> list[str]:
    return [sys.executable, "-m", "trainer", stage, str(run.path), *options]


def stage_environment(folder: Path) -> dict[str, str]:
    """No GPU is seen, nothing is written outside `folder`. A second thread costs a tiny model more than it gives."""
    # torch writes into the environment where it found the code that it compiled for a test in this process.
    ours = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    return ours | {"TUNESERVE_CACHE": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


_LOADED: list[Preloaded] = []
"""The process with the training stack loaded, once a test has needed it."""


@pytest.fixture(scope="session", autouse=True)
def _unload() -> Iterator[None]:
    yield
    for loaded in _LOADED:
        loaded.close()


def run_stage(
    stage: str, run: RunDir, *options: str, folder: Path, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """One stage as the command line runs it, in a process of its own that has the imports behind it."""
    done = _loaded(folder).run([stage, str(run.path), *options], folder, stage_environment(folder))
    if check and done.returncode:
        raise AssertionError(f"{stage} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done


def run_script(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`python -c script` in a process of its own in which unsloth and the trainer are imported already."""
    return _loaded(folder).run(list(arguments), folder, stage_environment(folder), script)


def _loaded(folder: Path) -> Preloaded:
    if not _LOADED:
        _LOADED.append(Preloaded(stage_environment(folder)))
    return _LOADED[0]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for runs, with a cache of its own."""
    if not (DEMO_MODEL / "model.safetensors").is_file():
        pytest.skip("the embedded model is not built")
    return tmp_path_factory.mktemp("workshop")


Train = Callable[..., RunDir]


@pytest.fixture(scope="session")
def train_run(workshop: Path) -> Train:
    """Makes a run and takes it through data and train."""

    def make(name: str, **sections: Any) -> RunDir:
        run = make_run(workshop, name, **sections)
        run_stage("data", run, folder=workshop)
        run_stage("train", run, folder=workshop)
        return run

    return make


@pytest.fixture(scope="session")
def trained(train_run: Train) -> RunDir:
    """The shared run: 120 rows, 30 steps, evaluated and saved on the way."""
    return train_run("shared", train={"epochs": 2, "learning_rate": 3e-3, "save_steps": 10, "eval_steps": 10})

"""What the environment does not bring is found out before anything is downloaded or trained."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError
from configs.schema import RunConfig
from trainer.needs import K_QUANTS, check_needs, check_trackers, find_quantizer

TRACKERS = ("tensorboard", "wandb", "swanlab", "trackio", "mlflow")


def recipe(**sections: Any) -> RunConfig:
    return RunConfig.model_validate({"name": "x", "model": "m", "data": "rows.jsonl", **sections})


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without trackers, and with one empty folder on the PATH."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_without_its_package_is_refused(bare: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"report_to: {name} needs the package {name}, which is not") as error:
        check_needs(recipe(train={"report_to": [name]}))
    assert f"pip install {name}" in error.value.next_step


def test_one_missing_tracker_of_two_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trackio" else object())
    with pytest.raises(ConfigError, match="trackio needs"):
        check_trackers(["mlflow", "trackio"])
    check_trackers(["mlflow"])


def test_either_package_of_tensorboard_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "tensorboardX" else None)
    check_trackers(["tensorboard"])


@pytest.mark.parametrize("quant", ["q4_k_m", "q5_k_m", "q6_k"])
def test_a_k_quant_is_refused_without_llama_quantize(bare: Path, quant: str) -> None:
    with pytest.raises(ConfigError, match=f"GGUF in {quant}: .*llama-quantize, which is not on the PATH") as error:
        check_needs(recipe(merge={"formats": ["vllm", "gguf"], "gguf_quant": quant}))
    assert "install llama.cpp, or take q8_0 (merge.gguf_quant" in error.value.next_step


def test_what_needs_no_quantizer_is_not_refused(bare: Path) -> None:
    check_needs(recipe())
    check_needs(recipe(merge={"formats": ["vllm"], "gguf_quant": "q4_k_m"}))
    check_needs(recipe(merge={"formats": ["gguf"], "gguf_quant": "bf16"}))


def test_the_quantizer_is_taken_from_the_path(bare: Path) -> None:
    program = bare / "llama-quantize"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_quantizer("q6_k") == program
    check_needs(recipe(merge={"formats": ["gguf"], "gguf_quant": "q6_k"}))


def test_k_quants_are_those_that_the_schema_names() -> None:
    assert {"q2_k", "q4_k_m", "q5_k_m", "q6_k"} <= set(K_QUANTS)
    assert "q8_0" not in K_QUANTS

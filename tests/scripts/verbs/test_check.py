"""`tuneserve check` from end to end: what it shows, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scripts.conftest import CLI, ROOT
from tests.scripts.forked import tuneserve

MODEL = ROOT / "configs" / "demo" / "model"
BIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 5120, "intermediate_size": 17408,
    "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "tie_word_embeddings": False,
}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a recipe over 60 rows with the given changes."""
    rows = [{"instruction": f"第{i}号产品卖多少钱？", "input": "", "output": f"{i}元。"} for i in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")

    def make(**changes: Any) -> Path:
        recipe = {"name": "shop", "model": str(MODEL), "output_dir": str(tmp_path / "runs"), "data": "rows.jsonl"}
        file = tmp_path / "shop.yaml"
        file.write_text(yaml.safe_dump(recipe | changes), encoding="utf-8")
        return file

    return make


@pytest.fixture
def big_model(tmp_path: Path) -> Path:
    """A model of Qwen3-14B's shape as far as `check` looks: the weights are a file of no tensor."""
    folder = tmp_path / "big"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((MODEL / name).read_bytes())
    (folder / "config.json").write_text(json.dumps(BIG))
    (folder / "model.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")
    return folder


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`tuneserve check ARGS` in a home and with a cache of its own."""
    own = {"TUNESERVE_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path), "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    return lambda *args: tuneserve(capfd, "check", *args)


def refused(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert result.returncode == 2, result.stdout + result.stderr
    for part in (*parts, "next:"):
        assert part in result.stderr, result.stderr
    assert "Traceback" not in result.stderr


def test_shows_data_masks_template_plan_and_warns_of_few_steps(run: Run, write: Any, tmp_path: Path) -> None:
    first = run(write(), "--rows", "2", "--gpu", "t4")
    assert first.returncode == 0, first.stderr
    shown = first.stdout
    for part in (
        "57 (1 a conversation)", "Row lengths", "given / trained", "号产品卖多少钱", "template family switchable",
        "thinking: false", "disk:", "only 16 optimizer steps", "train.epochs=", "Plan for t4: 16 optimizer steps",
        "float16", "scaled from h100-80gb", "taken", "no bf16 on this card", "can be trained and served",
    ):  # fmt: skip
        assert part in shown, f"{part!r} not in\n{shown}"
    assert shown.count("given / trained") == 2
    assert not (tmp_path / "runs").exists()


def test_the_mask_preview_shows_long_answers_to_their_end_and_what_the_base_will_write(
    run: Run, write: Any, tmp_path: Path
) -> None:
    rows = [{"instruction": f"第{i}号？", "output": f"{i}" + "，很好" * 60 + "，完" + "毕"} for i in range(60)]
    (tmp_path / "long.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    shown = run(write(data="long.jsonl"), "data.replay=self", "--rows", "1").stdout
    assert "before training the base writes 256 rows to train (0.25 for each of 57 conversations" in shown
    assert shown.count("很") == 60
    assert "毕" in shown


def test_a_gpu_that_is_too_small_is_refused_with_the_keys_to_change(
    run: Run, write: Any, big_model: Path, tmp_path: Path
) -> None:
    result = run(write(model=str(big_model)), "--gpu", "rtx4090")
    refused(result, "predicted not to fit rtx4090", "train.precision=8bit", "serve.precision=fp8")
    assert "too large" in result.stdout


def test_what_would_train_but_not_serve_is_refused(run: Run, write: Any, big_model: Path, tmp_path: Path) -> None:
    recipe = write(model=str(big_model), train={"precision": "4bit"})
    refused(run(recipe, "--gpu", "rtx4090"), "could not serve the merged model in bf16", "serve.precision=fp8")
    served = run(recipe, "serve.precision=fp8", "--gpu", "rtx4090", "--num-gpus", "2")
    assert served.returncode == 0, served.stderr
    assert "Memory and time on 2 x rtx4090" in served.stdout
    assert "2 GPUs are predicted to be 1." in served.stdout


def test_what_no_precision_can_serve_needs_gguf(run: Run, write: Any, big_model: Path, tmp_path: Path) -> None:
    # Still too large for the card, and not for the disk of the machine that runs the tests.
    (big_model / "config.json").write_text(json.dumps(BIG | {"num_hidden_layers": 24}))
    recipe = write(model=str(big_model), train={"precision": "4bit"})
    refused(run(recipe, "--gpu", "t4"), "merge.formats=[vllm,gguf]")
    allowed = run(recipe, "merge.formats=[vllm,gguf]", "--gpu", "t4")
    assert allowed.returncode == 0, allowed.stderr
    assert "llama.cpp" in allowed.stdout
    # What cannot be served here cannot write here either.
    writes = run(recipe, "merge.formats=[vllm,gguf]", "data.replay=self", "--gpu", "t4")
    refused(writes, "the base is to write rows itself before training, and t4 cannot serve it", "./general.jsonl")


def test_a_k_quant_without_the_quantizer_is_refused(
    run: Run, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    recipe = write(merge={"formats": ["vllm", "gguf"], "gguf_quant": "q5_k_m"})
    refused(run(recipe), "GGUF in q5_k_m", "llama-quantize", "install llama.cpp", "q8_0")
    (tmp_path / "llama-quantize").write_text("#!/bin/sh\n")
    (tmp_path / "llama-quantize").chmod(0o755)
    assert run(recipe).returncode == 0


def test_a_tracker_without_its_package_is_refused(run: Run, write: Any, tmp_path: Path) -> None:
    recipe = write(train={"report_to": ["swanlab"]})
    refused(run(recipe), "swanlab needs the package swanlab", "pip install swanlab")


def test_unknown_gpu(run: Run, write: Any, tmp_path: Path) -> None:
    refused(run(write(), "--gpu", "nonsense"), "--gpu nonsense", "h100-80gb", "t4")


def test_a_known_model_is_planned_where_no_hub_can_be_reached(
    run: Run, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    write()  # the rows
    given = (f"data={tmp_path / 'rows.jsonl'}", f"output_dir={tmp_path}", "--gpu", "RTX 4090")
    # A process of its own: the hub's library looks once, when it is imported, whether it may ask.
    planned = subprocess.run([*CLI, "check", "qwen3-14b-12gb", *given], capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr
    for part in ("Its shape is known", "Plan for rtx4090", "layouts; --all shows", "planned to train and to be served"):
        assert part in planned.stdout
    assert "✗" not in planned.stdout


def test_a_card_that_the_pinned_packages_have_no_code_for_is_refused(run: Run, write: Any, tmp_path: Path) -> None:
    refused(run(write(), "--gpu", "v100-32gb"), "compute capability 7.0", "take another card")


def test_missing_data_file(run: Run, write: Any, tmp_path: Path) -> None:
    refused(run(write(data="nowhere.jsonl")), "nowhere.jsonl")


def test_empty_dataset(run: Run, write: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    refused(run(write(data="empty.jsonl")), "empty.jsonl")


def test_misspelt_key(run: Run, write: Any, tmp_path: Path) -> None:
    refused(run(write(train={"learning_rat": 1e-4})), "learning_rat", "learning_rate")


def test_an_argument_for_vllm_that_run_refuses(run: Run, write: Any) -> None:
    refused(
        run(write(serve={"args": ["--trust-remote-code"]})), "serve.args: --trust-remote-code runs code", "after `--`"
    )


def test_missing_recipe(run: Run, tmp_path: Path) -> None:
    refused(run(tmp_path / "none.yaml"), "none.yaml")


def test_model_folder_that_does_not_exist(run: Run, write: Any, tmp_path: Path) -> None:
    refused(run(write(model=str(tmp_path / "no-model"))), "no-model")

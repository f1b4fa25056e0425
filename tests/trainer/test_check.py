"""What `check` computes before it prints: disk, versions, and that it stays light."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from configs.network.hub import resolve_model
from configs.recipe.schema import RunConfig
from scripts.bench.calibrate_fit import SHAPES
from tests.trainer.conftest import DEMO_MODEL, make_run, shop_rows, stage_environment, write_jsonl
from trainer import check


def recipe(**sections: object) -> RunConfig:
    return RunConfig.model_validate({"name": "x", "model": "m", "data": "rows.jsonl", **sections})


def test_disk_counts_checkpoints_adapter_merged_weights_and_gguf() -> None:
    parts = check.disk_gb(recipe(merge={"formats": ["vllm", "gguf"]}), SHAPES["14b"])
    adapter = 64_225_280
    assert parts["adapter"] == pytest.approx(4 * adapter / 1e9)
    # Two are kept, a third is written before the oldest goes; each holds the adapter and Adam's two moments in fp32.
    assert parts["checkpoints"] == pytest.approx(3 * 12 * adapter / 1e9)
    assert parts["merged"] == pytest.approx(29.54, abs=0.01)
    assert parts["gguf"] == pytest.approx(14.768 * 8.5 / 8, rel=0.01)


def test_disk_counts_the_bf16_file_that_a_k_quant_is_made_from() -> None:
    merge = {"formats": ["vllm", "gguf"], "gguf_quant": "q4_k_m"}
    parts = check.disk_gb(recipe(merge=merge), SHAPES["14b"])
    assert parts["gguf"] == pytest.approx(14.768 * (4.89 + 16) / 8, rel=0.01)


def test_disk_without_checkpoints_and_gguf() -> None:
    parts = check.disk_gb(recipe(train={"save_steps": 0}), SHAPES["0.6b"])
    assert parts["checkpoints"] == 0
    assert "gguf" not in parts


def test_nothing_of_the_training_stack_is_imported_before_the_tokenizer_is_needed() -> None:
    code = "import sys, trainer.check; assert not {'torch', 'transformers', 'unsloth'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["trainer.check", "trainer"])
def test_a_process_that_only_tokenizes_imports_no_torch(module: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", shop_rows(30))
    run = make_run(tmp_path, "light", data={"sources": str(tmp_path / "rows.jsonl"), "eval_split": 0.2})
    given = [str(run.config_file)] if module == "trainer.check" else ["data", str(run.path)]
    command = [sys.executable, "-X", "importtime", "-m", module, *given]
    done = subprocess.run(command, env=stage_environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"transformers", "tokenizers"} <= imported
    assert not {"torch", "unsloth", "vllm", "peft", "trl"} & imported
    assert [line for line in done.stderr.splitlines() if not line.startswith("import time:")] == []


def test_weights_of_a_hub_model_are_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    asked: list[str] = []

    def download(model: str, *, allow_patterns: list[str], **options: object) -> str:
        asked.extend(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve_model("Qwen/Qwen3-14B", weights=False) == tmp_path
    assert asked
    assert not any(Path("model-00001-of-00008.safetensors").match(pattern) for pattern in asked)


def test_what_check_always_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(check.pins, "disagreements", lambda device: [])
    write_jsonl(tmp_path / "rows.jsonl", shop_rows(30))
    keys = f"name: x\nmodel: {DEMO_MODEL}\noutput_dir: {tmp_path}\ndata: rows.jsonl\ntrain: {{max_steps: 30}}\n"
    (tmp_path / "x.yaml").write_text(keys, encoding="utf-8")
    check.check(tmp_path / "x.yaml", 20, "rtx4090")
    shown = capsys.readouterr().out
    assert "versions: unsloth" in shown
    assert "all as pinned" in shown
    assert shown.count("given / trained") == 20
    assert "8bit " in shown.partition("Memory and time")[2]
    # The advice names the key that counts.
    assert "train.max_steps=100" in shown
    assert "Give train.epochs" not in shown


def test_eight_bits_are_refused_for_a_card_without_them_and_are_not_in_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    write_jsonl(tmp_path / "rows.jsonl", shop_rows(30))
    keys = f"name: x\nmodel: {DEMO_MODEL}\noutput_dir: {tmp_path}\ndata: rows.jsonl\ntrain: {{precision: 8bit}}\n"
    (tmp_path / "x.yaml").write_text(keys, encoding="utf-8")
    assert check.main([str(tmp_path / "x.yaml"), "--gpu", "a100-80gb"]) == 2
    shown = capsys.readouterr()
    assert "a100-80gb has no FP8 (compute capability 8.0" in shown.err
    assert "set train.precision=4bit" in shown.err
    assert "8bit" not in shown.out.partition("Memory and time")[2]
    assert check.main([str(tmp_path / "x.yaml"), "--gpu", "l20"]) == 0


def test_a_run_that_would_have_nothing_to_ask_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    write_jsonl(tmp_path / "rows.jsonl", shop_rows(30))
    keys = f"name: x\nmodel: {DEMO_MODEL}\noutput_dir: {tmp_path}\ndata: {{sources: rows.jsonl, eval_split: 0}}\n"
    (tmp_path / "x.yaml").write_text(keys, encoding="utf-8")
    assert check.main([str(tmp_path / "x.yaml"), "--gpu", "t4"]) == 2
    assert "nothing to evaluate" in capsys.readouterr().err
    (tmp_path / "x.yaml").write_text(keys + "eval: {tasks: [{name: builtin, type: builtin}]}\n", encoding="utf-8")
    assert check.main([str(tmp_path / "x.yaml"), "--gpu", "t4"]) == 0
    # A model that is large enough is asked the built-in suite without a word in the recipe.
    large = shutil.copytree(DEMO_MODEL, tmp_path / "large")
    config = json.loads((large / "config.json").read_text(encoding="utf-8"))
    (large / "config.json").write_text(json.dumps(config | {"intermediate_size": 50_000}), encoding="utf-8")
    (tmp_path / "x.yaml").write_text(keys.replace(str(DEMO_MODEL), str(large)), encoding="utf-8")
    assert check.main([str(tmp_path / "x.yaml"), "--gpu", "t4"]) == 0

"""Merging a run, and merging any adapter: what is found, what is skipped, what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

from configs.errors import ConfigError, TuneserveError
from configs.model.fingerprint import tokenizer_fingerprint, weights_fingerprint
from configs.recipe.load import validate
from configs.recipe.schema import ForeignConfig
from configs.run.adapter_scale import served_adapter
from configs.run.merged import require_exported
from configs.run.rundir import RunDir
from scripts.run.stages import put_model_card
from tests.facts import prepared
from tests.trainer.tiny_models import IDS, make_model
from trainer.export import adapter as merge_any_module
from trainer.export.adapter import QUANTIZED_NAME, Format, main, merge_any
from trainer.export.stage import merge_run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("any") / "base", "qwen3", torch.bfloat16, True, 64, head_dim=128)


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    folder = tmp_path_factory.mktemp("any") / "adapter"
    tuned.save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "adapter"))


def name_base(adapter: Path, name: str | None) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": name}))


def logits(folder: Path, gguf_file: str | None = None, adapter: Path | None = None) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def test_any_adapter_merges_into_the_base_that_it_names(base: Path, adapter: Path, tmp_path: Path) -> None:
    done = merge_any(adapter, tmp_path / "out")
    assert done.base == base.resolve()
    assert done.notes == []
    wanted = logits(base, adapter=adapter)
    assert ((logits(tmp_path / "out") - wanted).norm() / wanted.norm()).item() < 0.02  # rounded once to bf16
    ends = json.loads((tmp_path / "out/generation_config.json").read_text())["eos_token_id"]
    assert ends == 2, "the template's end-of-turn token"


def test_an_adapter_of_a_run_counts_as_it_does_there(
    base: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = {"name": "shop", "model": str(base), "output_dir": str(tmp_path), "data": {"sources": "rows.jsonl"}}
    run = RunDir.create(validate({**raw, "merge": {"scale": 0.5}}, tmp_path / "shop.yaml"))
    shutil.copytree(trained, run.adapter)
    done = merge_any(run.adapter, tmp_path / "as-the-run")
    assert done.notes == ["the adapter counts 0.5 times as much, as in its run; --scale 1 takes it whole"]
    scaled = merge_any(served_adapter(run), tmp_path / "scaled")
    assert scaled.notes == []
    half, whole, plain = (logits(tmp_path / "as-the-run"), logits(base, adapter=trained), logits(base))
    torch.testing.assert_close(half, logits(tmp_path / "scaled"))
    wanted = logits(base, adapter=served_adapter(run))
    assert ((half - wanted).norm() / wanted.norm()).item() < 0.02
    assert (half - whole).norm() > 0.1 * (whole - plain).norm()
    require_exported(tmp_path / "as-the-run", run)
    require_exported(tmp_path / "scaled", run)
    assert merge_any(run.adapter, tmp_path / "whole", scale=1).notes == []
    with pytest.raises(ConfigError, match="was exported from another adapter or scale than"):
        require_exported(tmp_path / "whole", run)
    write = merge_any_module._write

    def trained_meanwhile(*arguments: Any) -> None:
        write(*arguments)
        (run.adapter / "trained-again.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(merge_any_module, "_write", trained_meanwhile)
    with pytest.raises(KeyboardInterrupt):
        merge_any(run.adapter, tmp_path / "late")
    for exported in ("as-the-run", "late"):
        with pytest.raises(ConfigError, match="was exported from another adapter or scale than"):
            require_exported(tmp_path / exported, run)
    assert ((logits(tmp_path / "whole") - whole).norm() / whole.norm()).item() < 0.02


@pytest.mark.parametrize("scale", [0, -1, 2.5])
def test_a_scale_that_none_is_is_refused(adapter: Path, tmp_path: Path, scale: float) -> None:
    with pytest.raises(ConfigError, match=f"--scale {scale:g}: not above 0 and at most 2"):
        merge_any(adapter, tmp_path / "out", scale=scale)
    assert not (tmp_path / "out").exists()


def test_any_adapter_goes_straight_to_gguf(base: Path, adapter: Path, tmp_path: Path) -> None:
    """Without merged weights on the disk in between."""
    merge_any(adapter, tmp_path / "phone", "gguf", quant="bf16")
    assert {p.name for p in (tmp_path / "phone").iterdir()} == {"phone-BF16.gguf", "Modelfile"}
    merge_any(adapter, tmp_path / "merged")
    torch.testing.assert_close(
        logits(tmp_path / "phone", "phone-BF16.gguf"), logits(tmp_path / "merged"), atol=1e-3, rtol=1e-3
    )


def test_any_adapter_goes_straight_to_8_bits(base: Path, adapter: Path, tmp_path: Path) -> None:
    merge_any(adapter, tmp_path / "fp8", "fp8")
    config = json.loads((tmp_path / "fp8/config.json").read_text())
    assert config["quantization_config"]["format"] == "float-quantized"
    assert config["architectures"] == json.loads((base / "config.json").read_text())["architectures"]
    merge_any(adapter, tmp_path / "merged")
    read = CompressedTensorsConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "fp8", dtype=torch.float32, quantization_config=read)
    with torch.no_grad():
        got, wanted = model(input_ids=IDS).logits, logits(tmp_path / "merged")
    assert ((got - wanted).norm() / wanted.norm()).item() < 0.2


@pytest.mark.parametrize("fmt", ["fp8", "int8", "int4", "gguf"])
def test_a_head_that_was_trained_beside_tied_embeddings_is_the_models(fmt: Format, base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]))
    tuned.base_model.model.lm_head.modules_to_save["default"].weight.data.normal_()
    tuned.save_pretrained(tmp_path / "adapter")
    merge_any(tmp_path / "adapter", tmp_path / "out", fmt, quant="bf16")
    wanted = logits(base, adapter=tmp_path / "adapter")
    if fmt != "gguf":  # which names no such thing: llama.cpp takes the head that is there
        assert json.loads((tmp_path / "out/config.json").read_text())["tie_word_embeddings"] is False
    got = logits(tmp_path / "out", "out-BF16.gguf" if fmt == "gguf" else None)
    assert ((got - wanted).norm() / wanted.norm()).item() < 0.3


def test_command_prints_result_notes_and_errors(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (adapter / "chat_template.jinja").write_text("another template")
    assert main([str(adapter), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "note: " in printed
    assert f"-> {tmp_path / 'out'}" in printed
    assert main([str(adapter), str(tmp_path / "out")]) == 2
    assert "is not empty" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        main([str(adapter), str(tmp_path / "out"), "--debug"])


@pytest.mark.parametrize(
    ("named", "original"),
    [
        ("unsloth/Qwen3-14B-unsloth-bnb-4bit", "unsloth/Qwen3-14B"),
        ("unsloth/qwen3-8b-bnb-4bit", "unsloth/qwen3-8b"),
        ("Qwen/Qwen3-14B-AWQ", "Qwen/Qwen3-14B"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen/Qwen3-4B-FP8", "Qwen/Qwen3-4B"),
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B"),
    ],
)
def test_quantized_names_lead_to_the_original(named: str, original: str) -> None:
    assert QUANTIZED_NAME.sub("", named) == original


def test_adapter_trained_on_a_4bit_copy_merges_into_the_original(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def resolve(model: str, hub: str, offline: bool) -> Path:
        asked.append((model, hub))
        return base

    monkeypatch.setattr(merge_any_module, "resolve_model", resolve)
    name_base(adapter, "unsloth/Qwen3-14B-unsloth-bnb-4bit")
    done = merge_any(adapter, tmp_path / "out", hub="modelscope")
    assert asked == [("unsloth/Qwen3-14B", "modelscope")]
    assert "merging into the 16-bit unsloth/Qwen3-14B" in done.notes[0]


def test_base_that_is_not_there_asks_for_base(adapter: Path, tmp_path: Path) -> None:
    name_base(adapter, "/nowhere/Qwen3-14B")
    with pytest.raises(ConfigError, match="/nowhere/Qwen3-14B") as error:
        merge_any(adapter, tmp_path / "out")
    assert "--base" in error.value.next_step
    name_base(adapter, None)
    with pytest.raises(ConfigError, match="names no base model"):
        merge_any(adapter, tmp_path / "out")


def test_template_of_the_adapter_is_mentioned(adapter: Path, tmp_path: Path) -> None:
    (adapter / "chat_template.jinja").write_text("another template")
    assert "differs from the base's template" in merge_any(adapter, tmp_path / "out").notes[0]


def make_run(tmp_path: Path, base: Path, adapter: Path, **merge: Any) -> RunDir:
    config = {
        "name": "tiny",
        "model": str(base),
        "output_dir": str(tmp_path / "runs"),
        "data": "x.jsonl",
        "merge": merge,
    }
    run = RunDir.create(validate(config, tmp_path / "config.yaml"))
    if not run.adapter.exists():
        shutil.copytree(adapter, run.adapter)
        run.update(prepared=prepared(base))
    return run


def test_what_a_training_before_left_is_neither_merged_nor_served(base: Path, adapter: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, base, adapter)
    with pytest.raises(KeyboardInterrupt), run.stage("train", {}):
        raise KeyboardInterrupt
    with pytest.raises(ConfigError, match="its training did not finish"):
        merge_run(run, run.config())
    with pytest.raises(ConfigError, match="its training did not finish"):
        served_adapter(run)


def test_an_adapter_is_exported_into_the_base_that_its_run_was_trained_on(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path, base, adapter)
    with run.stage("train", {"base_model": "as it was"}):
        pass
    with pytest.raises(ConfigError, match=r"are not those that .* was trained on"):
        merge_any(run.adapter, tmp_path / "out")
    assert "are not those" in merge_any(run.adapter, tmp_path / "out", base=str(base)).notes[0]


def test_merged_weights_that_are_judged_have_nothing_to_merge(base: Path, adapter: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, base, adapter)
    shutil.rmtree(run.adapter)
    run.merged.mkdir()
    judging = run.config().model_copy(update={"foreign": ForeignConfig(model=str(base))})
    with pytest.raises(ConfigError, match="has no adapter, but whole weights"):
        merge_run(run, judging)
    with pytest.raises(ConfigError, match="holds whole weights"):
        merge_any(base, tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("model.safetensors", r"weights or config\.json are not those that .* was trained on"),
        ("tokenizer.json", "tokenizer or chat template are not those that .* was trained with"),
    ],
)
def test_an_adapter_is_not_merged_into_a_base_that_it_was_not_trained_on(
    file: str, said: str, base: Path, adapter: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(base, tmp_path / "base"))
    run = make_run(tmp_path, base, adapter)
    with run.stage("data", {"tokenizer": tokenizer_fingerprint(base)}):
        pass
    with run.stage("train", {"base_model": weights_fingerprint(base)}):
        pass
    merge_run(run, run.config())
    with (base / file).open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        handle.write(b"\x01")
    with pytest.raises(TuneserveError, match=said):
        merge_run(run, run.config())


def test_run_is_merged_once_and_again_when_its_adapter_changes(
    base: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, base, adapter)
    merge_run(run, run.config())
    figures = run.read().stages["merge"].figures
    assert figures["size_gb"] > 0
    assert figures["peak_gb"] > 0
    assert figures["changed"] == 4
    assert figures["generation_config_diff"] == {"eos_token_id": [2, [2, 0]]}
    first = (run.merged / "model.safetensors").read_bytes()
    capsys.readouterr()

    merge_run(run, run.config())
    assert re.search("merge.*skipped", capsys.readouterr().out)
    merge_run(run, run.config(), force=True)
    assert re.search("merge.*4 tensors changed", capsys.readouterr().out)

    file = run.adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "lora_alpha": 32}))
    merge_run(run, run.config())
    assert (run.merged / "model.safetensors").read_bytes() != first


def test_cards_of_one_s_own_change_no_stage_and_stay(base: Path, adapter: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, base, adapter)
    (run.adapter / "README.md").touch()
    with run.stage("train", {}, [run.adapter]):
        pass
    merge_run(run, run.config())
    for folder in (run.adapter, run.merged):
        (folder / "README.md").write_bytes("我们的模型".encode("gbk"))
    assert [*run.changed_outputs("train"), *run.changed_outputs("merge")] == []
    merge_run(run, run.config(), force=True)
    put_model_card(run)
    assert (run.merged / "README.md").read_bytes() == "我们的模型".encode("gbk")


def test_a_file_of_one_s_own_is_not_removed_with_the_weights(base: Path, adapter: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, base, adapter)
    merge_run(run, run.config())
    (run.merged / ".cache").mkdir()
    for mine in (run.merged / "banner.png", run.merged / ".cache" / "library"):
        mine.touch()
    with pytest.raises(ConfigError, match=r"merged/banner.png: is not of this run"):
        merge_run(run, run.config(), force=True)
    (run.merged / "banner.png").rename(tmp_path / "banner.png")
    merge_run(run, run.config(), force=True)


def test_what_lies_where_a_link_leads_is_not_removed_with_the_weights(
    base: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, disk = make_run(tmp_path, base, adapter), tmp_path / "disk"
    disk.mkdir()
    run.merged.symlink_to(disk)
    for _ in range(2):  # into the empty folder, and over what was written there
        merge_run(run, run.config(), force=True)
        assert run.merged.is_symlink()
        assert (disk / "config.json").is_file()
    (disk / "config.json").write_text("mine", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), run.stage("merge", {}, [run.merged]):
        raise KeyboardInterrupt
    merge_run(run, run.config())
    assert "they stay, and the link goes" in capsys.readouterr().out
    assert (disk / "config.json").read_text(encoding="utf-8") == "mine"
    assert (run.merged / "config.json").is_file()
    assert not run.merged.is_symlink()


def test_what_is_merged_already_is_seen_before_the_libraries_are_imported(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path, base, adapter)
    merge_run(run, run.config())
    code = """
import sys
from pathlib import Path
from configs.run.rundir import RunDir
from trainer.export.stage import merge_run
run = RunDir.open(Path(sys.argv[1]))
merge_run(run, run.config())
print(sorted({"torch", "peft", "transformers"} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", code, str(run.path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "skipped" in said
    assert said.splitlines()[-1] == "[]"


def test_a_run_can_ask_for_a_k_quant(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for llama-quantize, which copies."""
    program = tmp_path / "llama-quantize"
    program.write_text('#!/bin/sh\n[ "$3" = Q6_K ] && /bin/cp "$1" "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    run = make_run(tmp_path, base, adapter, formats=["vllm", "gguf"], gguf_quant="q6_k")
    merge_run(run, run.config())
    assert {p.name for p in run.gguf.iterdir()} == {"tiny-Q6_K.gguf", "Modelfile"}
    assert run.read().stages["gguf"].inputs["quant"] == "q6_k"


def test_asking_for_gguf_later_does_not_merge_again(
    base: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, base, adapter)
    merge_run(run, run.config())
    capsys.readouterr()
    run = make_run(tmp_path, base, adapter, formats=["vllm", "gguf"], gguf_quant="f16")
    merge_run(run, run.config())
    printed = capsys.readouterr().out
    assert re.search("merge.*skipped", printed)
    assert {p.name for p in run.gguf.iterdir()} == {"tiny-F16.gguf", "Modelfile"}
    merge_run(run, run.config())
    assert re.search("gguf.*skipped", capsys.readouterr().out)


def test_weights_that_were_trained_whole_are_merged_as_long_as_they_are_all_there(base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.lm_head.weight.mul_(2)
    model.save_pretrained(tmp_path / "whole")
    run = make_run(tmp_path, base, tmp_path / "whole")
    with run.stage("train", {}, [run.adapter]):
        pass
    merge_run(run, run.config())
    assert torch.equal(logits(run.merged), logits(tmp_path / "whole"))
    (run.adapter / "model.safetensors").unlink()
    with pytest.raises(TuneserveError, match="is gone"):
        merge_run(run, run.config())


@pytest.mark.parametrize("gone", ["*", "adapter_model.safetensors", "adapter_config.json"])
def test_run_without_adapter_says_what_to_do(gone: str, base: Path, adapter: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, base, adapter)
    with run.stage("train", {}, [run.adapter]):
        pass
    for file in list(run.adapter.glob(gone)):
        file.unlink()
    with pytest.raises(TuneserveError, match=r"no adapter yet|is gone") as error:
        merge_run(run, run.config())
    assert "tuneserve train" in error.value.next_step

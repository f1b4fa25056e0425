"""Every way of training that a recipe can ask for, for a few steps: it runs, and the manifest says what really ran."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from configs.model.fingerprint import content_hash
from configs.run.rundir import RunDir
from tests.trainer.conftest import DEMO_MODEL, Train, make_run, run_stage, write_jsonl
from trainer.data.prepare import read_rows
from trainer.data.template import IGNORED
from trainer.sft.progress import read_log

pytestmark = pytest.mark.slow

FEW = {"max_steps": 4, "eval_steps": 0, "save_steps": 0, "learning_rate": 1e-3}


def tensors(run: RunDir, file: str = "adapter_model.safetensors") -> list[str]:
    with safe_open(run.adapter / file, "pt") as opened:
        return list(opened.keys())


def did(run: RunDir) -> dict[str, Any]:
    facts = run.read().facts.trained
    assert facts
    return facts.unsloth.model_dump() | {"precision_asked": facts.precision_asked}


def test_four_bit_base(train_run: Train) -> None:
    run = train_run("nf4", train=FEW | {"precision": "4bit"})
    assert did(run)["precision"] == "4bit"


def test_eight_bits_train_on_a_cpu_as_a_gpu_rounds_and_merge_into_the_16_bit_base(workshop: Path) -> None:
    run = make_run(workshop, "fp8", train=FEW | {"precision": "8bit"})
    run_stage("data", run, folder=workshop)
    done = run_stage("train", run, folder=workshop)
    assert "warning: train.precision=8bit: a CPU rounds weights and activations" in done.stdout
    assert (did(run)["precision_asked"], did(run)["precision"]) == ("8bit", "8bit")
    assert all(name.endswith(("lora_A.weight", "lora_B.weight")) for name in tensors(run))
    run_stage("merge", run, folder=workshop)
    with (
        safe_open(run.merged / "model.safetensors", "pt") as merged,
        safe_open(DEMO_MODEL / "model.safetensors", "pt") as base,
    ):
        names = set(base.keys())
        assert set(merged.keys()) == names
        changed = {n for n in names if not merged.get_tensor(n).equal(base.get_tensor(n))}
    assert changed
    assert all(name.endswith("_proj.weight") for name in changed)


def test_dora_with_rank_stabilized_scaling_and_noise(train_run: Train) -> None:
    run = train_run("dora", lora={"dora": True, "rslora": True}, train=FEW | {"neftune_noise_alpha": 5})
    assert any("lora_magnitude_vector" in name for name in tensors(run))
    assert '"use_rslora": true' in (run.adapter / "adapter_config.json").read_text(encoding="utf-8")


def test_whole_modules_are_trained_beside_the_adapter(train_run: Train) -> None:
    run = train_run("head", lora={"modules_to_save": ["lm_head"]}, train=FEW)
    assert any("lm_head" in name for name in tensors(run))


def test_full_fine_tuning_trains_every_weight_and_leaves_nothing_of_an_adapter(
    train_run: Train, tmp_path: Path
) -> None:
    """The base's settings are such as transformers reads, and does not save."""
    base = shutil.copytree(DEMO_MODEL, tmp_path / "base")
    (base / "generation_config.json").write_text('{"do_sample": false, "temperature": 0.6, "eos_token_id": 3560}')
    run = train_run("full", train=FEW)
    assert (run.adapter / "adapter_config.json").is_file()
    run = train_run("full", model=str(base), train=FEW | {"method": "full"})
    assert not list(run.adapter.glob("adapter_*"))
    assert did(run)["trainable_parameters"] == did(run)["parameters"]
    assert not any("lora" in name for name in tensors(run, "model.safetensors"))


def test_early_stopping_stops_and_keeps_the_best(train_run: Train) -> None:
    """At an absurd learning rate the loss gets worse at once."""
    worse = {"max_steps": 60, "learning_rate": 0.5, "scheduler": "constant", "warmup_ratio": 0, "eval_steps": 5}
    worse["save_total_limit"] = 9
    run = train_run("early", train=worse | {"early_stopping": 2})
    figures = run.read().stages["train"].figures
    losses = [line["eval_loss"] for line in read_log(run.logs / "train.jsonl") if "eval_loss" in line]
    assert figures["steps"] < 60
    assert losses[-1] >= min(losses[:-1])
    assert figures["heldout_loss"] == figures["best_heldout_loss"] == pytest.approx(min(losses))

    adapter, last = content_hash(run.adapter / "adapter_model.safetensors"), f"checkpoint-{figures['steps']}"
    before = f"checkpoint-{figures['steps'] - 5}"

    def goes_on() -> dict[str, Any]:
        manifest = json.loads(run.manifest_file.read_text())
        manifest["stages"]["train"]["state"] = "running"  # as a kill leaves it
        run.manifest_file.write_text(json.dumps(manifest))
        return train_run("early", train=worse | {"early_stopping": 2}).read().stages["train"].figures

    shutil.rmtree(run.checkpoints / last)
    again = goes_on()
    assert (again["resumed_from"], again["steps"]) == (before, figures["steps"])
    state = run.checkpoints / last / "trainer_state.json"
    state.write_text(state.read_text().replace(str(run.checkpoints), "/moved"))  # it was moved
    again = goes_on()
    assert (again["resumed_from"], again["heldout_loss"]) == (last, figures["heldout_loss"])
    assert content_hash(run.adapter / "adapter_model.safetensors") == adapter
    best = run.checkpoints / f"checkpoint-{json.loads(state.read_text())['best_global_step']}"
    os.truncate(best / "adapter_model.safetensors", 1000)
    assert goes_on()["heldout_loss"] == losses[-1]
    assert content_hash(run.adapter / "adapter_model.safetensors") != adapter


def test_the_held_out_loss_is_that_of_a_trained_token_however_rows_are_laid_out(
    train_run: Train, workshop: Path
) -> None:
    rows = [{"instruction": f"说说第{n}件商品。", "output": "很好用。" * n} for n in (1, 2, 3, 12)]
    data = {"sources": str(workshop / "shop.jsonl"), "heldout": str(write_jsonl(workshop / "held.jsonl", rows))}
    run = train_run("evaluated", data=data, train=FEW | {"eval_steps": 4, "plan": "manual", "micro_batch": 1})
    base = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, run.adapter).eval()
    losses: list[float] = []
    for row in read_rows(run.data / "heldout").to_pylist():
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        each = torch.nn.functional.cross_entropy(logits, torch.tensor(row["labels"][1:]), reduction="none")
        losses += [float(loss) for loss, label in zip(each, row["labels"][1:], strict=True) if label != IGNORED]
    assert run.read().stages["train"].figures["heldout_loss"] == pytest.approx(fmean(losses), rel=1e-3)


def test_checkpoints_beyond_the_limit_are_removed(trained: RunDir) -> None:
    names = {f.name for f in trained.checkpoints.iterdir()}
    assert names == {"checkpoint-20", "checkpoint-30"}

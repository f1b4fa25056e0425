"""One real training through Unsloth on the CPU: the adapter, the proof's rows, the curve, and what was read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.helpers import rescale_adapter_scale
from transformers import AutoModelForCausalLM

from configs.errors import ConfigError
from configs.machine.gpus import device_at_hand
from configs.run.rundir import RunDir
from tests.trainer.conftest import DEMO_MODEL, Train, make_run, run_stage
from trainer.data.prepare import read_rows
from trainer.sft import stage
from trainer.sft.progress import read_log

pytestmark = pytest.mark.slow


def proof_of(run: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.data / "proof.jsonl").read_text(encoding="utf-8").splitlines()]


def test_training_lowers_the_loss(trained: RunDir) -> None:
    lines = read_log(trained.logs / "train.jsonl")
    losses = [line["loss"] for line in lines if "loss" in line]
    held_out = [line["eval_loss"] for line in lines if "eval_loss" in line]
    assert len(losses) == trained.read().stages["train"].figures["steps"] == 30
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert held_out[-1] < held_out[0]
    figures = ("grad_norm", "tokens_per_s", "peak_gb")
    assert all(0 < line[name] < 1e9 for line in lines if "loss" in line for name in figures)
    assert (trained.report / "loss.png").stat().st_size > 5000


def test_proof_rows_hold_what_peft_computes(trained: RunDir) -> None:
    """The stored likelihoods are those of the saved adapter on the base, computed here without Unsloth."""
    base = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, trained.adapter).eval()

    def score(row: dict[str, Any]) -> float:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logprobs = torch.log_softmax(model(input_ids=ids).logits[0, :-1], dim=-1)
        return logprobs.gather(1, ids[0, 1:, None])[row["answer_start"] - 1 :].sum().item()

    rows = proof_of(trained)
    assert len(rows) == 8
    for row in rows:
        assert score(row) == pytest.approx(row["adapter_logprob"], abs=2e-3)
        with model.disable_adapter():
            assert score(row) == pytest.approx(row["base_logprob"], abs=2e-3)
        assert list(row["scaled_logprobs"]) == ["0.3", "0.5", "0.7", "0.85"]
        for scale, stored in row["scaled_logprobs"].items():
            with rescale_adapter_scale(model, float(scale)):
                assert score(row) == pytest.approx(stored, abs=2e-3)
    assert sum(r["adapter_logprob"] - r["base_logprob"] for r in rows) > 0


def test_proof_rows_are_held_out_and_start_at_the_answer(trained: RunDir) -> None:
    held_out = {row["id"]: row for row in read_rows(trained.data / "heldout").to_pylist()}
    end = trained.prepared().end_token_id
    for row in proof_of(trained):
        labels = held_out[row["id"]]["labels"]
        assert labels[row["answer_start"]] != -100
        assert labels[row["answer_start"] - 1] == -100
        assert row["input_ids"][-1] == end


def test_manifest_says_what_unsloth_really_did(trained: RunDir) -> None:
    did = trained.read().facts.trained.unsloth.model_dump()
    assert did["layers"] * 7 == did["adapted_linears"]
    assert did["padding_free"] is False
    assert did["packing"] is False
    assert did["optimizer"].startswith("adamw_torch")
    assert 0 < did["trainable_parameters"] < did["parameters"]


def test_first_batch_was_checked(trained: RunDir) -> None:
    assert trained.read().stages["train"].figures["first_batch_rows_checked"] == 8


def test_a_short_run_is_warned_of(workshop: Path, trained: RunDir) -> None:
    """Trains again from scratch, so that the same seed can be compared as well."""
    before = [line["loss"] for line in read_log(trained.logs / "train.jsonl") if "loss" in line]
    again = make_run(workshop, "again", train=trained.config().train.model_dump(mode="json"))
    run_stage("data", again, folder=workshop)
    done = run_stage("train", again, folder=workshop)
    assert "only 30 optimizer steps" in done.stdout
    # A seed repeats a run.
    assert [line["loss"] for line in read_log(again.logs / "train.jsonl") if "loss" in line] == before


def test_second_call_skips_and_one_changed_key_trains_again(workshop: Path, train_run: Train) -> None:
    few = {"max_steps": 2, "eval_steps": 0, "save_steps": 0}
    run = train_run("skips", train=few)
    assert "skipped" in run_stage("train", run, folder=workshop).stdout
    run = make_run(workshop, "skips", train=few | {"learning_rate": 1e-3})
    assert "skipped" in run_stage("data", run, folder=workshop).stdout
    assert "skipped" not in run_stage("train", run, folder=workshop).stdout


def test_a_training_of_padded_rows_does_not_go_on_with_more_gpus(trained: RunDir) -> None:
    config, facts, before = trained.config(), trained.prepared(), trained.read().facts.planned
    assert before.group_by_length
    device = device_at_hand()
    assert stage._plan(config, facts, [40] * 200, device, 1, before).group_by_length
    with pytest.raises(ConfigError, match=r"ordered for one GPU; on 2 it differs\n.*train.num_gpus=1, or begin anew"):
        stage._plan(config, facts, [40] * 200, device, 2, before)


def test_first_batch_with_a_planted_mask_error_stops_before_step_1(workshop: Path, train_run: Train) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = make_run(workshop, "planted", train={"max_steps": 2})
    run_stage("data", run, folder=workshop)
    file = run.data / "train" / "rows.parquet"
    table = pq.read_table(file)
    # Every mask opens two tokens early: the end of the prompt would be learned.
    shifted = []
    for ids, labels in zip(table["input_ids"].to_pylist(), table["labels"].to_pylist(), strict=True):
        start = next(i for i, label in enumerate(labels) if label != -100)
        shifted.append(labels[: start - 3] + ids[start - 3 :])
    column = pa.array(shifted, table["labels"].type)
    pq.write_table(table.set_column(table.schema.get_field_index("labels"), "labels", column), file)
    done = run_stage("train", run, folder=workshop, check=False)
    assert done.returncode == 1
    assert "error: first batch: the trained text is" in done.stderr
    assert "Traceback" not in done.stderr
    assert not read_log(run.logs / "train.jsonl")


def test_nothing_is_left_in_the_users_folder(workshop: Path, trained: RunDir) -> None:
    left = {f.name for f in workshop.iterdir()} - {"runs", "cache"}
    assert all(name.endswith((".yaml", ".jsonl")) for name in left), left

"""How rows are laid out changes speed and memory, never loss or gradient; and the test that says so can fail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from configs.run.rundir import RunDir
from tests.trainer.conftest import DEMO_MODEL, make_run, run_stage, shop_rows, write_jsonl
from trainer.data.template import IGNORED, ChatCodec, join_turns, render_turn

pytestmark = pytest.mark.slow

LOSS_BOUND = 0.005
COSINE_BOUND = 0.999
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

Result = tuple[float, torch.Tensor]


@pytest.fixture(scope="module")
def model() -> Any:
    """The embedded model's trained weights under an adapter that is no longer zero, as in the middle of training."""
    if not (DEMO_MODEL / "model.safetensors").is_file():
        pytest.skip("the embedded model is not built")
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    tuned = get_peft_model(base, LoraConfig(r=8, target_modules=LINEAR, task_type="CAUSAL_LM")).train()
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.01)
    return tuned


@pytest.fixture(scope="module")
def rows() -> list[dict[str, list[int]]]:
    """Two questions on different prices: whoever sees the other row's passage answers differently."""
    codec = ChatCodec.load(DEMO_MODEL)
    made = []
    for row in shop_rows(2):
        chat = [
            {"role": "user", "content": f"{row['instruction']}\n{row['input']}"},
            {"role": "assistant", "content": row["output"]},
        ]
        (joined,) = join_turns([render_turn(codec, chat, 1, thinking=False)])
        made.append({"input_ids": joined.input_ids.tolist(), "labels": joined.labels.tolist()})
    return made


def loss_and_gradient(model: Any, batches: Sequence[Mapping[str, torch.Tensor]]) -> Result:
    """Summed cross entropy over all trained tokens divided by their number, and the gradient of it, flattened."""
    trained = sum(int((b["labels"][:, 1:] != IGNORED).sum()) for b in batches)
    model.zero_grad()
    total = 0.0
    for batch in batches:
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        logits = model(**inputs, use_cache=False).logits[:, :-1]
        targets = batch["labels"][:, 1:]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        loss = loss * (targets != IGNORED).sum() / trained
        loss.backward()
        total += loss.item()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return total, gradient.clone()


def differs(one: Result, other: Result) -> bool:
    """Whether two results break the bounds that a layout has to keep."""
    relative = abs(one[0] - other[0]) / other[0]
    cosine = torch.nn.functional.cosine_similarity(one[1], other[1], dim=0).item()
    return relative > LOSS_BOUND or cosine < COSINE_BOUND


@pytest.fixture(scope="module")
def alone(model: Any, rows: list[dict[str, list[int]]]) -> Result:
    padded = DataCollatorForLanguageModeling(0)
    return loss_and_gradient(model, [padded([row]) for row in rows])


def test_two_rows_laid_end_to_end_are_the_two_rows_alone(
    model: Any, rows: list[dict[str, list[int]]], alone: Result
) -> None:
    packed = DataCollatorForLanguageModeling(0, padding_free=True)(rows)
    assert packed["input_ids"].shape[0] == 1
    assert not differs(loss_and_gradient(model, [packed]), alone)


def test_two_rows_padded_are_the_two_rows_alone(model: Any, rows: list[dict[str, list[int]]], alone: Result) -> None:
    padded = DataCollatorForLanguageModeling(0)([rows[0], {k: v[5:] for k, v in rows[1].items()}])
    apart = [DataCollatorForLanguageModeling(0)([r]) for r in (rows[0], {k: v[5:] for k, v in rows[1].items()})]
    assert not differs(loss_and_gradient(model, [padded]), loss_and_gradient(model, apart))


def test_a_contaminated_packing_fails_the_same_test(
    model: Any, rows: list[dict[str, list[int]]], alone: Result
) -> None:
    """The boundaries are gone: the second row attends to the first."""
    packed = dict(DataCollatorForLanguageModeling(0, padding_free=True)(rows))
    packed["position_ids"] = torch.arange(packed["input_ids"].shape[1])[None]
    assert differs(loss_and_gradient(model, [packed]), alone)


def test_positions_that_go_on_fail_the_same_test(model: Any, rows: list[dict[str, list[int]]], alone: Result) -> None:
    """Only the second row's positions are wrong by one: what a forgotten reset would do to a shift."""
    packed = dict(DataCollatorForLanguageModeling(0, padding_free=True)(rows))
    first = len(rows[0]["input_ids"])
    packed["position_ids"] = packed["position_ids"].clone()
    # The boundary lies one token late, so one token of the second row belongs to the first.
    packed["position_ids"][0, first] = first
    packed["position_ids"][0, first + 1 :] -= 1
    assert differs(loss_and_gradient(model, [packed]), alone)


def one_step(workshop: Path, name: str, **train: Any) -> RunDir:
    """One optimizer step of plain gradient descent over eight rows of unlike length."""
    data = workshop / "eight.jsonl"
    if not data.exists():
        rows = shop_rows(8)
        write_jsonl(data, [{**row, "output": row["output"] * (1 + 3 * i)} for i, row in enumerate(rows)])
    settings = {
        "plan": "manual", "rows_per_step": 8, "max_steps": 1, "optimizer": "sgd", "scheduler": "constant",
        "warmup_ratio": 0, "learning_rate": 0.5, "weight_decay": 0, "max_grad_norm": 1000, "eval_steps": 0,
        "save_steps": 0,
    }  # fmt: skip
    run = make_run(
        workshop,
        name,
        data={"sources": str(data), "eval_split": 0},
        train=settings | {"gradient_checkpointing": "off"} | train,
    )
    run_stage("data", run, folder=workshop)
    run_stage("train", run, folder=workshop)
    return run


def step_of(run: RunDir) -> Result:
    """Loss of the step, and its gradient: what plain gradient descent moved lora_B by (lora_A has none at first)."""
    (line,) = [json.loads(text) for text in (run.logs / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    adapter = load_file(run.adapter / "adapter_model.safetensors")
    return line["loss"], torch.cat([adapter[k].flatten() for k in sorted(adapter) if "lora_B" in k])


def test_gradient_accumulation_is_the_whole_batch(workshop: Path) -> None:
    whole = step_of(one_step(workshop, "whole", micro_batch=8))
    assert not differs(step_of(one_step(workshop, "accumulated", micro_batch=1)), whole)


def test_gradient_checkpointing_changes_nothing(workshop: Path) -> None:
    whole = step_of(one_step(workshop, "whole", micro_batch=8))
    assert not differs(step_of(one_step(workshop, "recomputed", micro_batch=8, gradient_checkpointing="on")), whole)

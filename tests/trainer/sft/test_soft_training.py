"""One real step on rows that a base wrote, by its own probabilities: the logged loss is the cross entropy to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.handover.base import write_rows
from configs.handover.prompt_logprobs import TOP
from configs.handover.selfmade import SelfMadeRow, SoftTargets
from configs.run.rundir import RunDir
from tests.trainer.conftest import DEMO_MODEL, make_run, run_stage, shop_rows, write_jsonl
from trainer.data.prepare import read_rows
from trainer.data.selfmade import SOFT_TARGETS, soft_rows, training_rows
from trainer.sft.progress import read_log

pytestmark = pytest.mark.slow

WRITTEN = 6


def write_own_rows(run: RunDir) -> None:
    """Puts rows into the run as the stage `selfmade` would, with likely tokens that are drawn."""
    tokenizer, draw = AutoTokenizer.from_pretrained(DEMO_MODEL), np.random.default_rng(4)
    rows, targets = [], []
    for number in range(WRITTEN):
        texts = {"user": f"第{number}问是什么？", "assistant": f"是{number}个。"}
        said = [{"role": role, "content": text} for role, text in texts.items()]
        prompt = tokenizer.apply_chat_template(said[:1], add_generation_prompt=True, enable_thinking=False)
        answer = [*tokenizer.encode(texts["assistant"]), run.prepared().end_token_id]
        rows.append(SelfMadeRow(
            id=f"self:{number}", language="zh", kind=None, messages=said, prompt_ids=list(prompt["input_ids"]),
            answer_ids=answer, base_logprob=None, use="train",
        ))  # fmt: skip
        places = [[(int(token), -5 * draw.random()) for token in draw.permutation(3000)[:TOP]] for _ in answer]
        targets.append(SoftTargets.of(number, places))
    run.selfmade.mkdir()
    write_rows(run.selfmade / "train.jsonl", rows)
    write_rows(run.selfmade / SOFT_TARGETS, targets)
    with run.stage("selfmade", {}) as record:
        record.figures["soft_targets"] = WRITTEN


def expected_loss(run: RunDir) -> float:
    """The mean over all trained tokens under the base, which a new adapter leaves as it is."""
    model = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    soft = {row.input_ids.tobytes(): row for row in soft_rows(run)}
    total, tokens = 0.0, 0
    for row in training_rows(run, run.config()).to_pylist():
        ids, labels = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
        with torch.no_grad():
            logprobs = model(ids[None]).logits[0, :-1][labels[1:] != -100].log_softmax(-1)
        trained = labels[1:][labels[1:] != -100]
        known = soft.get(np.array(row["input_ids"], np.int32).tobytes())
        if known is None:
            total -= logprobs.gather(1, trained[:, None]).sum().item()
        else:
            likely = logprobs.gather(1, torch.from_numpy(known.top_ids).long())
            total -= (torch.from_numpy(known.probabilities) * likely).sum().item()
        tokens += len(trained)
    return total / tokens


def test_the_loss_of_a_step_is_the_cross_entropy_to_what_the_base_thought(workshop: Path) -> None:
    file = write_jsonl(workshop / "few.jsonl", shop_rows(20))
    run = make_run(
        workshop, "softly", data={"sources": str(file), "eval_split": 0.2, "replay": "self"},
        train={"rows_per_step": 16 + WRITTEN, "max_steps": 2, "eval_steps": 1, "plan": "manual", "micro_batch": 8},
    )  # fmt: skip
    run_stage("data", run, folder=workshop)
    write_own_rows(run)
    said = run_stage("train", run, folder=workshop).stdout
    assert f"{WRITTEN} rows by the base's own probabilities" in said
    assert run.read().stages["train"].figures["soft_rows"] == WRITTEN
    lines = read_log(run.logs / "train.jsonl")
    assert next(line["loss"] for line in lines if "loss" in line) == pytest.approx(expected_loss(run), rel=1e-4)
    # Held-out rows have the loss of every run.
    assert read_rows(run.data / "heldout").num_rows == 4
    assert all(0 < line["eval_loss"] < 10 for line in lines if "eval_loss" in line)

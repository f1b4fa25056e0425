"""Out of memory: half the rows a forward pass, once, from the last checkpoint, and the same loss curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from configs.errors import TuneserveError
from configs.handover.training import Plan
from configs.machine.gpus import GPUS
from configs.recipe.schema import LoraConfig, TrainConfig
from configs.run.rundir import RunDir
from tests.trainer.conftest import make_run, run_script, run_stage
from trainer.plan.layout import make_plan
from trainer.sft.backoff import halved, train_with_back_off
from trainer.sft.progress import read_log


def plan(rows: int, micro_batch: int) -> Plan:
    config = TrainConfig(plan="manual", rows_per_step=rows, micro_batch=micro_batch)
    return make_plan(config, LoraConfig(), [100] * 200, GPUS["h100-80gb"])


def out_of_memory(times: int, seen: list[Plan]) -> Any:
    def attempt(tried: Plan, checkpoint: Path | None) -> dict[str, Any]:
        seen.append(tried)
        if len(seen) <= times:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return {"from": checkpoint}

    return attempt


@pytest.mark.parametrize(("rows", "micro_batch", "then"), [(8, 8, 4), (8, 2, 1), (9, 9, 3), (10, 5, 2)])
def test_halving_keeps_the_optimizer_step(rows: int, micro_batch: int, then: int) -> None:
    smaller = halved(plan(rows, micro_batch))
    assert smaller is not None
    assert (smaller.micro_batch, smaller.accumulation * smaller.micro_batch) == (then, rows)
    assert smaller.learning_rate == plan(rows, micro_batch).learning_rate


def test_first_time_goes_on_from_the_last_checkpoint_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Plan] = []
    found = Path("checkpoint-20")
    figures, used = train_with_back_off(out_of_memory(1, seen), plan(8, 4), None, lambda: found)
    assert figures == {"from": found}
    assert [(p.micro_batch, p.accumulation) for p in seen] == [(4, 2), (2, 4)]
    assert used is seen[1]
    line = (
        "memory ran out (CUDA out of memory): 2 x 4 rows instead of 4 x 2, the same optimizer step, from checkpoint-20"
    )
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(("micro_batch", "message"), [(4, "twice, at 4 and at 2 rows"), (1, "with one row")])
def test_what_halving_does_not_cure_is_an_error_with_the_next_step(micro_batch: int, message: str) -> None:
    with pytest.raises(TuneserveError, match=message) as caught:
        train_with_back_off(out_of_memory(9, []), plan(8, micro_batch), None, lambda: None)
    assert "train.precision=4bit" in caught.value.next_step


RUNS_OUT_ONCE = """
import sys
import torch
import trainer.sft.loop as loop
from trainer.__main__ import main
step, failed = loop.SFTTrainer.training_step, []
def full(self, *args, **kwargs):
    if self.state.global_step == 15 and not failed:
        failed.append(True)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    return step(self, *args, **kwargs)
loop.SFTTrainer.training_step = full
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_real_run_backs_off_and_keeps_its_curve(workshop: Path, trained: RunDir) -> None:
    """Step 15 runs out of memory: the run goes on from checkpoint-10 in halves, along the curve of one that did not."""
    run = make_run(workshop, "oom", train=trained.config().train.model_dump(mode="json"))
    run_stage("data", run, folder=workshop)
    done = run_script(RUNS_OUT_ONCE, "train", str(run.path), folder=workshop)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "4 x 2 rows instead of 8 x 1, the same optimizer step, from checkpoint-10" in done.stdout
    manifest = run.read()
    assert manifest.stages["train"].figures["backed_off"] is True
    facts = manifest.facts.trained
    assert facts
    assert facts.backed_off_from
    assert (facts.backed_off_from.micro_batch, facts.plan.micro_batch) == (8, 4)
    losses = [{e["step"]: e["loss"] for e in read_log(r.logs / "train.jsonl") if "loss" in e} for r in (run, trained)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)

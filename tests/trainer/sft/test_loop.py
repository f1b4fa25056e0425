"""What is known of a run's steps before it trains is what comes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.conftest import make_run, run_script, run_stage

pytestmark = pytest.mark.slow

CHILD = """
import json, sys

import trainer.sft.loop as loop
from configs.run.rundir import RunDir
from trainer.data.prepare import read_rows
from trainer.plan.layout import make_plan
from trainer.sft.device import find_device

run = RunDir.open(sys.argv[1])
config, facts, table = run.config(), run.read().facts.prepared, read_rows(run.data / "train")
plan = make_plan(config.train, config.lora, table["length"].to_pylist(), find_device())
plan = plan.model_copy(update={"group_by_length": False})
training = loop.TrainingRun(run, config, plan, facts, table, table.slice(0, 8))
# On a CPU nothing is recorded; the batches come as to recorded steps.
training.graphs = True
known = [[step.tokens, step.trained] for step in loop.passes_of(training.trainer, table)]
own, seen = training.trainer.training_step, []

def step(model, inputs, items):
    seen.append([sum(len(ids) for ids, _ in loop.rows_of(inputs)), inputs.pop(loop.TRAINED, None)])
    return own(model, inputs, items)

training.trainer.training_step = step
training.trainer.train()
print(json.dumps([known, seen, sum("eval_loss" in line for line in training.trainer.state.log_history)]))
"""


@pytest.mark.parametrize("options", [{"epochs": 2}, {"epochs": 1, "max_steps": 12, "eval_steps": 5}])
def test_tokens_of_every_step_are_known_before_training(workshop: Path, options: dict[str, int]) -> None:
    name = f"known-{len(options)}"
    run = make_run(workshop, name, train={"rows_per_step": 16, "eval_steps": 0, "save_steps": 0, **options})
    run_stage("data", run, folder=workshop)
    done = run_script(CHILD, str(run.path), folder=workshop)
    assert done.returncode == 0, done.stderr[-3000:]
    known, seen, evaluations = json.loads(done.stdout.splitlines()[-1])
    # 120 rows are seven steps of 16 and one of 8 an epoch.
    assert len(known) == options.get("max_steps", 16)
    # Behind an evaluation too every pass says how many of its tokens are trained.
    assert evaluations == (3 if "eval_steps" in options else 0)
    assert seen == known

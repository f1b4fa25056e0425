"""What goes wrong elsewhere between data and adapter: each test is named after what it protects."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.trainer.conftest import DEMO_MODEL, Train, make_run, run_script, run_stage, shop_rows, write_jsonl
from trainer import environment
from trainer.sft.checkpoints import TuneserveError, find_checkpoint
from trainer.sft.progress import read_log
from trainer.sft.stage import train_inputs

pytestmark = pytest.mark.slow

LOOK = """
import json, sys
from pathlib import Path
from trainer.sft import loop
from torch.nn import Module, ModuleList
from unsloth.models.llama import apply_lora_qkv, original_apply_qkv
from configs.run.rundir import RunDir
from trainer.sft.model import patched_layers
from configs.machine.gpus import Device
from trainer.plan.layout import make_plan
from trainer.data.prepare import read_rows
run = RunDir.open(Path(sys.argv[1]))
config, tables = run.config(), [read_rows(run.data / part) for part in ("train", "heldout")]
plan = make_plan(config.train, config.lora, tables[0]["length"].to_pylist(), Device("CPU", 16.0))
loop.EVAL_ROWS = 3
made = loop.TrainingRun(run, config, plan, run.prepared(), *tables)
args, layers = made.trainer.args, ModuleList([Module(), Module()])
layers[0].apply_qkv, layers[1].apply_qkv = apply_lora_qkv, original_apply_qkv
first = made.trainer.eval_dataset["input_ids"] == tables[1]["input_ids"].to_pylist()[:3]
evaluation = [len(made.trainer.eval_dataset), first, args.per_device_eval_batch_size, args.prediction_loss_only]
pad_is_end = made.tokenizer.pad_token_id == made.end_token_id
print(json.dumps([evaluation, pad_is_end, patched_layers(layers), made.did.patched_layers]))
"""


def test_evaluation_is_small_pad_is_no_end_and_a_slow_path_is_seen(workshop: Path) -> None:
    run = make_run(workshop, "looked-at", train={"plan": "manual", "micro_batch": 32, "rows_per_step": 32})
    run_stage("data", run, folder=workshop)
    done = run_script(LOOK, str(run.path), folder=workshop)
    assert done.returncode == 0, done.stderr[-3000:]
    evaluation, pad_is_end, patched, on_cpu = json.loads(done.stdout.splitlines()[-1])
    assert evaluation == [3, False, 8, True]
    assert "the held-out loss is that of 3 of the" in done.stdout
    assert not pad_is_end
    assert (patched, on_cpu) == ({"qkv": 1}, {})


def test_a_pad_token_that_is_the_end_token_trains_the_same(train_run: Train, tmp_path: Path) -> None:
    """Whoever masks by the pad token masks the end of every answer then, and generation never stops."""
    same = shutil.copytree(DEMO_MODEL, tmp_path / "same")
    file = same / "tokenizer_config.json"
    tokens = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(tokens | {"pad_token": tokens["eos_token"]}), encoding="utf-8")
    few = {"max_steps": 3, "eval_steps": 0, "save_steps": 0, "learning_rate": 1e-3}
    runs = [train_run("pad-is-eos", model=str(same), train=few), train_run("pad-is-pad", train=few)]
    one, other = ([line["loss"] for line in read_log(run.logs / "train.jsonl")] for run in runs)
    assert tokens["pad_token"] != tokens["eos_token"]
    assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("what", ["data", "versions.trl"])
def test_a_resume_on_other_data_or_versions_is_refused_unless_forced(
    workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", shop_rows(20))
    run = make_run(workshop, f"cut-off-{what}", data={"sources": str(rows)})
    run_stage("data", run, folder=workshop)
    with pytest.raises(KeyboardInterrupt), run.stage("train", train_inputs(run, run.config(), run.prepared())):
        raise KeyboardInterrupt
    checkpoint = run.checkpoints / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}", encoding="utf-8")
    (checkpoint / "optimizer.pt").write_bytes(b"state")
    assert find_checkpoint(run, train_inputs(run, run.config(), run.prepared()), force=False) == checkpoint
    if what == "data":
        write_jsonl(rows, shop_rows(21))
        run_stage("data", run, folder=workshop)
    else:
        newer = environment.versions() | {"trl": "99.0"}
        monkeypatch.setattr(environment, "versions", lambda: newer)
    inputs = train_inputs(run, run.config(), run.prepared())
    with pytest.raises(TuneserveError, match=f"under other settings .{what} was") as error:
        find_checkpoint(run, inputs, force=False)
    assert "--force" in error.value.next_step
    assert find_checkpoint(run, inputs, force=True) == checkpoint


def test_the_best_adapter_is_the_one_that_is_saved(train_run: Train) -> None:
    """A rate that rises to absurd heights makes the last worse than the first; `keep_best` alone stops nothing."""
    worse = {"max_steps": 9, "learning_rate": 0.5, "scheduler": "constant_with_warmup", "warmup_ratio": 0.99}
    run = train_run("best", train=worse | {"eval_steps": 1, "keep_best": True})
    found = {line["eval_loss"]: line["step"] for line in read_log(run.logs / "train.jsonl") if "eval_loss" in line}
    folders = (run.adapter, *(run.checkpoints / f"checkpoint-{step}" for step in (found[min(found)], 9)))
    saved, best, last = (load_file(folder / "adapter_model.safetensors") for folder in folders)
    assert all((saved[name] == best[name]).all() for name in best)
    assert any((saved[name] != last[name]).any() for name in last)

"""`tuneserve judge`: the recipe that it makes, and one judgement of a planted fault from adapter to verdict."""

import json
import subprocess
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.recipe.schema import RunConfig
from configs.run.merged import require_trained
from configs.run.rundir import RunDir
from scripts.run.judging import GENERAL, general_rows, judge_recipe, judged_again, length_is_given, refuse_another
from tests.scripts.conftest import CLI, ROOT, environment
from tests.trainer.conftest import DEMO_MODEL
from tests.trainer.foreign.made import train_adapter, write_facts


def test_the_recipe_names_the_rows_and_what_is_judged(tmp_path: Path) -> None:
    rows = write_facts(tmp_path)
    config = judge_recipe("out/lora", str(DEMO_MODEL), data=[str(rows)], overrides=["eval.gate.margin_points=3"])
    assert config.name == "judge-out_lora"
    assert config.foreign is not None
    assert config.foreign.rows_known
    assert config.eval.heldout
    assert config.eval.tasks == []
    assert config.eval.gate.margin_points == 3
    assert [source.path for source in config.data.sources] == [str(rows)]


def test_without_rows_questions_of_the_suite_stand_in_their_place(tmp_path: Path) -> None:
    config = judge_recipe("out/lora", str(DEMO_MODEL), overrides=[f"output_dir={tmp_path}"], name="mine")
    assert config.foreign is not None
    assert not config.foreign.rows_known
    assert not config.eval.heldout
    assert [task.type for task in config.eval.tasks] == ["builtin"]
    assert config.data.sources[0].path == str(tmp_path / "mine" / GENERAL)
    assert all(row["messages"][-1]["content"] for row in general_rows())
    assert len(general_rows()) > 300


def test_a_run_that_trained_its_model_is_compared_and_not_judged(tmp_path: Path) -> None:
    config = judge_recipe("x", str(DEMO_MODEL), data=["y"], overrides=[f"output_dir={tmp_path}"])
    run = RunDir.create(config.model_copy(update={"foreign": None}))
    with pytest.raises(ConfigError, match=r"trained its model itself\n.*tuneserve compare .* --gate"):
        judged_again(run.path, [])


def test_a_judgement_that_was_moved_is_judged_where_it_lies(tmp_path: Path) -> None:
    run = RunDir.create(judge_recipe("x/y", str(DEMO_MODEL), overrides=[f"output_dir={tmp_path}"], name="mine"))
    moved = run.path.rename(tmp_path / "old")
    config = judged_again(moved, ["eval.max_tokens=9"])
    assert (config.output_dir, config.name, config.eval.max_tokens) == (str(tmp_path), "old", 9)
    assert config.data.sources[0].path == str(moved / GENERAL)
    assert not length_is_given(judged_again(moved, []), [])
    RunDir(moved).configure(config)  # what was asked with room for 9 tokens is not asked again with more
    assert length_is_given(judged_again(moved, []), [])


def test_what_another_model_was_to_be_judged_in_is_not_that_model_s(tmp_path: Path) -> None:
    def recipe(model: str, **data: str) -> RunConfig:
        return judge_recipe(model, str(DEMO_MODEL), **data, overrides=[f"output_dir={tmp_path}"], name="it")

    run = RunDir.create(recipe("a/first"))
    require_trained(run)
    inputs = {"foreign.model": "a/first", "foreign.template": "0", "data.max_length": 4096, "data": "hash"}
    with pytest.raises(KeyboardInterrupt), run.stage("foreign", inputs):
        raise KeyboardInterrupt
    with pytest.raises(ConfigError, match="the look at its model did not finish"):
        require_trained(run)
    with run.stage("foreign", inputs):
        pass
    require_trained(run)
    run.configure(recipe("a/second"))
    with pytest.raises(ConfigError, match=r"was judged with another foreign\.model than .* by now\n.*tuneserve judge"):
        require_trained(run)


def test_models_of_one_name_do_not_take_each_other_s_place(tmp_path: Path) -> None:
    for place in ("qwen", "llama"):
        (tmp_path / place / "sft").mkdir(parents=True)
    first, second = (
        judge_recipe(str(tmp_path / place / "sft"), str(DEMO_MODEL), overrides=[f"output_dir={tmp_path}"])
        for place in ("qwen", "llama")
    )
    assert first.name == second.name == "judge-sft"
    refuse_another(first)
    RunDir.create(first)
    refuse_another(first)
    with pytest.raises(ConfigError, match=r"is the judgement of .*/qwen/sft, another model .*\n.*--name judge-sft-2"):
        refuse_another(second)


@pytest.mark.slow
def test_a_drifted_template_is_caught_from_adapter_to_exit_code(tmp_path: Path) -> None:
    rows = write_facts(tmp_path)
    train_adapter(rows, "alpaca", tmp_path / "lora")
    settings = ["eval.drift=false", "eval.max_tokens=16", "data.eval_split=0.2", "proof.parity_rows=8"]
    command = [*CLI, "judge", str(tmp_path / "lora"), "--base", str(DEMO_MODEL), "--data", str(rows), "--name", "it"]
    done = subprocess.run(
        [*command, *settings, f"output_dir={tmp_path / 'runs'}"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 3, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    run = RunDir.open(tmp_path / "runs" / "it")
    report = json.loads((run.report / "report.json").read_text(encoding="utf-8"))
    assert report["gate"]["verdict"] == "fail"
    reasons = {reason["key"]: reason["text"] for reason in report["gate"]["reasons"]}
    assert next(iter(reasons)) == "finding.template_drift"
    assert "LLaMA-Factory alpaca" in reasons["finding.template_drift"]
    assert "Next: serve with `-- --chat-template" in reasons["finding.template_drift"]
    assert "finding.parity" in reasons
    assert "How it was trained to be asked" in (run.report / "report.md").read_text(encoding="utf-8")
    assert not (run.merged / "README.md").exists()
    served = run.read().served()
    assert served is not None
    assert served.proof is not None
    assert served.proof.passed

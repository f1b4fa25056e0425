"""What a verdict takes is said before training, and an open one ends in the command that decides it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from configs.recipe.load import load_config
from configs.recipe.schema import ForeignConfig, GateConfig, RunConfig, TaskConfig
from eval.compare.compare import compare
from eval.compare.comparison import Comparison, Sentence
from scripts.run.tasks import recipe_tasks, task_configs
from scripts.run.verdict import deciding_command, say_verdict
from tests.eval.synthetic import pair, sides
from tests.scripts.conftest import ROOT

DEMO_MODEL = ROOT / "configs" / "demo" / "model"


def recipe(tmp_path: Path, *overrides: str) -> RunConfig:
    (tmp_path / "rows.jsonl").write_text('{"question": "a", "answer": "b"}\n', encoding="utf-8")
    (tmp_path / "x.yaml").write_text("name: x\nmodel: Qwen/Qwen3-0.6B\ndata: rows.jsonl\n", encoding="utf-8")
    return load_config(tmp_path / "x.yaml", list(overrides))


def said(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> str:
    say_verdict(config, task_configs(config, Path(config.model)))
    return " ".join(capsys.readouterr().out.split())


def test_a_recipe_for_a_real_model_can_end_in_a_verdict_by_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(recipe(tmp_path), capsys)
    assert "instruction 6,060 items, reasoning 6,100 items, reading 6,150 items" in text
    assert "2,706 items at 10%, 5,411 items at 20%" in text
    assert "warning" not in text


def test_what_a_recipe_lacks_for_a_verdict_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the run will end without a verdict on forgetting" in said(recipe(tmp_path, "eval.suite=0"), capsys)
    text = said(recipe(tmp_path, "eval.suite=800"), capsys)
    assert "reasoning: 900 items pass an unchanged model in fewer than 95% of cases" in text
    mine = recipe(tmp_path, "eval.tasks=[{name: g, type: gsm8k}]")
    assert "reasoning 1,319 items" in said(mine, capsys)


def test_the_suite_is_asked_where_no_task_is_to_be_kept_and_the_model_can_answer(tmp_path: Path) -> None:
    config = recipe(tmp_path, "eval.suite=130")
    assert [task.type for task in task_configs(config, tmp_path / "not-here")] == ["builtin"]
    assert task_configs(config, DEMO_MODEL) == []
    assert task_configs(config) == []
    kept = recipe(tmp_path, "eval.tasks=[{name: g, type: gsm8k}]")
    assert [task.type for task in task_configs(kept, tmp_path / "not-here")] == ["gsm8k"]
    target = recipe(tmp_path, "eval.tasks=[{name: g, type: gsm8k, role: target}]", "eval.suite=130")
    assert [task.type for task in task_configs(target, tmp_path / "not-here")] == ["gsm8k", "builtin"]
    named = recipe(tmp_path, "eval.tasks=[{name: b, type: builtin}]", "eval.suite=130")
    assert {len(task.items) for task in recipe_tasks(named) if task.name in ("b_problems", "b_orders")} == {130}


def test_what_check_says_of_a_verdict_imports_no_statistics() -> None:
    code = "import sys, scripts.run.tasks, scripts.run.verdict; assert not {'numpy', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def open_verdict(n: int, changed: int, group: str = "reasoning") -> Comparison:
    base, tuned = sides(pair("t", n, n // 2, changed // 2, changed // 2, group=group))
    return compare(base, tuned, GateConfig())


def test_the_command_that_decides(tmp_path: Path) -> None:
    file = Path("runs/x/config.yaml")
    config = recipe(tmp_path, "eval.suite=800")
    assert deciding_command(open_verdict(800, 160), config, file) == f"tuneserve run {file} eval.suite=5500"
    assert deciding_command(open_verdict(200, 0), recipe(tmp_path, "eval.suite=0"), file) == (
        f"tuneserve run {file} eval.suite=6000"
    )
    mine = "eval.tasks=[{name: g, type: gsm8k}]"  # beside which the suite is not asked
    for verdict, suite in ((open_verdict(200, 0), 0), (open_verdict(800, 160), 800)):
        assert deciding_command(verdict, recipe(tmp_path, f"eval.suite={suite}", mine), file) is None
    small = recipe(tmp_path, "eval.suite=0", f"model={DEMO_MODEL}")
    assert deciding_command(open_verdict(200, 0), small, file) is None
    tasks = [TaskConfig(name="a", type="qa", path="q.jsonl"), TaskConfig(name="c", type="cmmlu", limit=800)]
    limited = config.model_copy(update={"eval": config.eval.model_copy(update={"tasks": tasks})})
    assert deciding_command(open_verdict(800, 160, "knowledge"), limited, file) == (
        f"tuneserve run {file} eval.tasks.1.limit=5500"
    )
    assert deciding_command(open_verdict(4000, 100), config, file) is None
    base, tuned = sides(pair("t", 8000, 5000, 500, 340, group="reasoning"))
    near = compare(base, tuned, GateConfig())
    assert deciding_command(near, config, file) == f"tuneserve run {file} eval.suite=1600"
    more = replace(near, gate=replace(near.gate, remedy=Sentence("remedy.more", {"name": "reasoning", "n": 750})))
    assert deciding_command(more, config, file) == f"tuneserve run {file}"
    judged = config.model_copy(update={"foreign": ForeignConfig(model="theirs")})
    assert deciding_command(near, judged, file) == "tuneserve judge runs/x eval.suite=1600"

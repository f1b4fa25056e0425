"""What `docs/evaluation.md` shows is what the code does: rows load, tables are complete, commands run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import yaml
from typer.testing import CliRunner

import configs
from configs.recipe.schema import EvalConfig, GateConfig, TaskConfig
from eval.ask.mock_server import MockServer
from eval.compare.planned import items_for_a_verdict
from eval.tasks.custom import items_from_rows
from eval.tasks.scoring import SCORING, Kind
from scripts.cli import app
from tests.eval.conftest import serving

REPOSITORY = Path(configs.__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "evaluation.md").read_text(encoding="utf-8")
ROWS = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
COMMANDS = [
    command.replace("\\\n", " ")
    for block in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for command in re.split(r"\n(?! )", block.strip())
]


@pytest.mark.parametrize(("kind", "row"), zip([*get_args(Kind), "qa"], ROWS, strict=True))
def test_rows_are_read_as_their_kind(kind: Kind, row: dict) -> None:
    item = items_from_rows([row], kind, "page")[0]
    good = {
        "number": "24÷6=4\n答案：4",
        "instruction": "长城是中国古代的军事防御工程，今存的多为明朝所修。",
    }.get(kind, item.references[0] if item.references else "")
    assert SCORING[kind].score(item, good).scores[SCORING[kind].primary] == 1.0
    assert SCORING[kind].score(item, "不知道").scores[SCORING[kind].primary] == 0.0


def test_recipe_snippet_is_valid() -> None:
    block = re.search(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert block
    assert len(EvalConfig.model_validate(yaml.safe_load(block[1])).tasks) == 5


def test_every_type_and_metric_is_named() -> None:
    named = set(re.findall(r"`([A-Za-z0-9_]+)`", PAGE))
    assert set(get_args(TaskConfig.model_fields["type"].annotation)) <= named
    metrics = {name for scoring in SCORING.values() for name in (*scoring.metrics, *scoring.diagnostics)}
    assert {name for name in metrics if not name.endswith("_word")} <= named


def test_figures_of_the_gate_are_the_defaults() -> None:
    gate = GateConfig()
    assert f"a margin of {gate.margin_points:g} points" in PAGE
    assert f"never under `mean_margin_points`, {gate.mean_margin_points:g}." in PAGE
    assert f"`margin_nats`, {gate.margin_nats:g} nats" in PAGE
    assert f"in blocks of {gate.block_items} items" in PAGE
    assert f"with {100 * gate.power:g} % (`power`)" in PAGE
    needed = [items_for_a_verdict(share, gate) for share in (0.1, 0.2, 0.3)]
    assert [round(n, -2) for n in needed] == [2700, 5400, 8100]
    assert "about 2,700 where 10 % of the answers\nchange, 5,400 at 20 %, 8,100 at 30 %" in PAGE
    assert f"fewer than {gate.min_items} items" in PAGE
    assert f"one-sided {100 * gate.confidence:g} % bounds" in PAGE


def test_links_lead_to_files() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (REPOSITORY / "docs" / link).exists(), link


# Those that need neither a run nor a data set of others.
@pytest.mark.parametrize("command", [c for c in COMMANDS if "--base-url" in c and "data/" not in c])
def test_commands_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text("".join(f"{json.dumps({**ROWS[0], 'id': n})}\n" for n in range(4)), encoding="utf-8")
    with (
        serving(MockServer()) as judge,
        serving(MockServer(owned_by="vllm")) as base,
        serving(MockServer(owned_by="vllm")) as tuned,
    ):
        for port, endpoint in ((8001, judge), (8002, base), (8003, tuned)):
            command = command.replace(f"http://127.0.0.1:{port}/v1", endpoint.base_url)
        words = shlex.split(command)
        assert words[0] == "tuneserve"
        result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output

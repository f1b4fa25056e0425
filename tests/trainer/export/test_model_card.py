"""The model card says what the run directory says, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.errors import TuneserveError
from configs.handover.base import write_rows
from configs.handover.rows import ParityRow
from configs.handover.serving import ParityFigures, ProofFigures, ServedFigures
from configs.recipe.load import validate
from configs.run.rundir import RunDir
from scripts.run.stages import put_model_card
from tests.facts import prepared
from trainer.export.model_card import model_card, write_model_card


def task(name: str, role: str, delta: float) -> dict[str, Any]:
    interval = {"lower": delta - 1, "upper": delta + 1}
    return {
        "name": name, "role": role, "metric": "f1", "n": 200, "base_points": 40.0, "tuned_points": 40 + delta,
        "delta_points": delta, "interval": interval,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    sources = [{"path": str(tmp_path / "private/shop.jsonl")}, {"path": "team/chat_zh#500", "weight": 0.5}]
    config = {
        "name": "shop",
        "model": "Qwen/Qwen3-14B",
        "output_dir": str(tmp_path / "runs"),
        "data": {"sources": sources},
    }
    run = RunDir.create(validate(config, tmp_path / "config.yaml"))
    run.merged.mkdir()
    (run.merged / "config.json").write_text("{}")
    run.update(prepared=prepared(), versions={"unsloth": "2026.10.9"})
    return run


def evaluate(run: RunDir, *tasks: dict[str, Any], verdict: str = "not_enough_evidence", reserved: str = "") -> None:
    run.report.mkdir()
    gate = {"verdict": verdict, "margin_points": 2.0, "reservations": [{"text": reserved}] if reserved else []}
    (run.report / "report.json").write_text(json.dumps({"tasks": tasks, "gate": gate, "confidence": 0.95}))
    proof = ProofFigures(
        rows=32, mean_gap=0.012, mean_effect=3.4, tolerance=0.05, row_factor=10, worst_row="a", worst_gap=0.1,
        recovered=1.0, shift_per_token=0.0,
    )  # fmt: skip
    served = ServedFigures(parity=ParityFigures(rows=64, equal=64), proof=proof)
    with run.stage("tuned", {}) as record:
        record.figures.update(served.model_dump(mode="json"))


def test_card_tells_recipe_scores_and_losses(run: RunDir) -> None:
    evaluate(run, task("客服", "target", 12.5), task("cmmlu", "retention", -3.0), task("gsm8k", "retention", 0.2))
    write_model_card(run)
    card = (run.merged / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == "Qwen/Qwen3-14B"
    assert front["datasets"] == ["team/chat_zh"]
    assert "| 客服 | target | f1 | 200 | 40.0 | 52.5 | +12.5 [+11.5, +13.5] |" in card
    assert "Lost on cmmlu: -3.0 points" in card
    assert "Lost on gsm8k" not in card
    assert "open: not enough evidence" in card
    assert "0.012 nats on average, where training changed it by 3.400" in card
    assert """--default-chat-template-kwargs '{"enable_thinking": false}'""" in card
    assert "| adapter | rank 16, alpha 16, dropout 0 |" in card
    assert "| target modules | q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj |" in card


@pytest.mark.parametrize(("asked", "languages"), [("How long does it charge?", ["en"]), ("多久能充满？", ["zh"])])
def test_card_names_the_language_of_the_rows(run: RunDir, asked: str, languages: list[str]) -> None:
    row = ParityRow(id="a:1", messages=[{"role": "user", "content": asked}], tools=None, prompt_ids=[1])
    run.data.mkdir(exist_ok=True)
    write_rows(run.data / "parity.jsonl", [row])
    write_model_card(run)
    front = yaml.safe_load((run.merged / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert front["language"] == languages


def test_a_constant_rate_has_no_warm_up(run: RunDir) -> None:
    config = run.config()
    constant = config.train.model_copy(update={"scheduler": "constant", "warmup_ratio": 0.1})
    run.configure(config.model_copy(update={"train": constant}))
    write_model_card(run)
    assert ", constant, warm-up 0 |" in (run.merged / "README.md").read_text(encoding="utf-8")


def test_a_data_files_name_is_no_markdown(run: RunDir) -> None:
    source = run.config().data.sources[0].model_copy(update={"path": "/x/\na[b](c)<i>\x1b.jsonl"})
    config = run.config()
    run.configure(config.model_copy(update={"data": config.data.model_copy(update={"sources": [source]})}))
    assert r"-  a\[b\](c)\<i>\\x1b.jsonl" in model_card(run)


def test_card_holds_no_local_path(run: RunDir, tmp_path: Path) -> None:
    card = model_card(run)
    assert str(tmp_path) not in card
    assert "- shop.jsonl" in card


def test_model_that_was_not_evaluated_says_so(run: RunDir) -> None:
    card = model_card(run)
    assert "has not been evaluated" in card
    assert "Not proved" in card


def test_scores_and_proof_of_other_weights_are_not_told(run: RunDir) -> None:
    evaluate(run, task("客服", "target", 12.5))
    figures = run.read().stages["tuned"].figures
    with run.stage("merge", {}, [run.merged]):
        pass
    with run.stage("tuned", {"merged_weights": "of before"}) as record:
        record.figures.update(figures)
    card = model_card(run)
    assert "has not been evaluated" in card
    assert "Not proved" in card


def test_scores_of_before_are_not_told_of_a_model_that_is_still_being_asked(run: RunDir) -> None:
    evaluate(run, task("客服", "target", 12.5))
    with pytest.raises(KeyboardInterrupt), run.stage("tuned", {}):
        raise KeyboardInterrupt
    card = model_card(run)
    assert "has not been evaluated" in card
    assert "Not proved" in card


def test_card_tells_what_speaks_against_a_model_that_passed(run: RunDir) -> None:
    evaluate(run, task("客服", "target", 12.5), verdict="pass", reserved="客服: 9 of [10] questions were trained")
    assert "passed, with reservations:\n\n- 客服: 9 of \\[10\\] questions were trained\n" in model_card(run)


def test_a_report_that_was_cut_short_is_said(run: RunDir) -> None:
    run.report.mkdir(exist_ok=True)
    (run.report / "report.json").write_text('{"gate": {"verd', encoding="utf-8")
    with pytest.raises(TuneserveError, match=r"report.json: damaged: (?s:.*)next: remove it"):
        model_card(run)


def test_card_needs_merged_weights(run: RunDir) -> None:
    (run.merged / "config.json").unlink()
    with pytest.raises(TuneserveError, match="no merged weights"):
        write_model_card(run)


def test_a_card_that_somebody_changed_stays(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    file = run.merged / "README.md"
    put_model_card(run)
    written = file.read_text(encoding="utf-8")
    evaluate(run, task("客服", "target", 12.5))
    put_model_card(run)
    assert file.read_text(encoding="utf-8") != written
    assert "stays as it is" not in capsys.readouterr().out
    mine = file.read_text(encoding="utf-8").replace("## Limits", "Licence: ours.\n\n## Limits")
    file.write_text(mine, encoding="utf-8")
    put_model_card(run)
    assert file.read_text(encoding="utf-8") == mine
    assert "was changed by you, and stays as it is" in " ".join(capsys.readouterr().out.split())

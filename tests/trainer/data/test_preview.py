"""What a user sees of the data: the report, and which tokens of a row are trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from configs.errors import DataError
from configs.recipe.load import validate
from tests.trainer.conftest import shop_rows, write_jsonl
from tests.trainer.tokenizers_for_tests import qwen3_tokenizer_folder
from trainer.data.prepare import prepare
from trainer.data.preview import PROMPT_STYLE, TRAINED_STYLE, data_summary, render_mask, render_report
from trainer.data.report import DataReport, PreviewRow


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataReport:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    rows = [*shop_rows(60), {"instruction": "没有答案的问题", "output": " "}]
    file = write_jsonl(tmp_path / "shop.jsonl", rows)
    recipe = {"name": "t", "model": "m", "data": {"sources": str(file), "eval_split": 0.1}}
    return prepare(validate(recipe, tmp_path / "t.yaml"), qwen3_tokenizer_folder()).report


def shown(what: object) -> str:
    console = Console(record=True, width=160, file=open("/dev/null", "w"))  # noqa: SIM115 - only the record counts
    console.print(what)
    return console.export_text()


def test_report_shows_counts_reasons_lengths_and_masks(report: DataReport) -> None:
    text = shown(render_report(report, rows=1))
    for part in ("60 of 61", "empty_answer", "shop.jsonl:61", "alpaca", "thinking can be switched", "<|im_end|>"):
        assert part in text
    assert "█" in text
    assert "<|im_start|>assistant" in text


def test_prompt_is_dim_and_trained_tokens_are_bright(report: DataReport) -> None:
    panel = render_mask(report.preview[0])
    spans = {panel.renderable.plain[s.start : s.end]: s.style for s in panel.renderable.spans}  # type: ignore[union-attr]
    (trained,) = [text for text, style in spans.items() if style == TRAINED_STYLE]
    assert trained.endswith("元。<|im_end|>")
    assert all("<|im_start|>" in text for text, style in spans.items() if style == PROMPT_STYLE)


def test_markup_in_the_data_is_shown_as_it_is() -> None:
    text = "[red]价格[/red]\x1b]52;c;QQ==\x1b\\"
    assert r"[red]价格[/red]\x1b]52;c;QQ==\x1b\ " in shown(render_mask(PreviewRow("x:1", [(text, True)])))


def test_summary_is_one_line(report: DataReport) -> None:
    line = data_summary(report)
    assert "\n" not in line
    assert "61 rows read, 1 dropped; 54 training rows" in line


def test_report_survives_the_disk(report: DataReport, tmp_path: Path) -> None:
    report.save(tmp_path / "r.json")
    assert DataReport.load(tmp_path / "r.json") == report


@pytest.mark.parametrize("key", ["lengths", "reasons", "template", "preview", "read"])
def test_a_damaged_report_is_said_with_the_next_step(key: str, report: DataReport, tmp_path: Path) -> None:
    report.save(tmp_path / "r.json")
    whole = json.loads((tmp_path / "r.json").read_bytes())
    for damaged in (json.dumps({**whole, key: [5]}), "{", json.dumps({k: v for k, v in whole.items() if k != key})):
        (tmp_path / "r.json").write_text(damaged)
        with pytest.raises(DataError, match=r"r.json: damaged: .*\n.*remove .*: the data are prepared again"):
            DataReport.load(tmp_path / "r.json")

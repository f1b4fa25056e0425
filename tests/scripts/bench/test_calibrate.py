"""The calibration's file: what is written is what was fitted, a line a row; calibration removes only what it made."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from scripts.bench import calibrate
from scripts.bench.calibrate import GROUPS, measure_all, written
from trainer.plan.estimate import CALIBRATION, load_calibration


def test_the_file_reads_back_and_has_a_line_for_every_row() -> None:
    content = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    text = written(content)
    assert json.loads(text) == content
    assert text == CALIBRATION.read_text(encoding="utf-8")
    assert sum(line.startswith('  {"shape"') for line in text.splitlines()) == len(load_calibration().rows)


def test_models_that_were_there_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    for size in ("14b", "8b"):
        (models / size).mkdir(parents=True)

    def group(module: str, passed: list[str], **_: Any) -> dict[str, Any]:
        name = passed[passed.index("--group") + 1]
        (models / name.partition("-")[0]).mkdir(exist_ok=True)
        return {"process_s": 0.1}

    monkeypatch.setattr(calibrate, "run_child", group)
    measure_all(
        argparse.Namespace(
            rows=tmp_path / "rows.jsonl", tokenizer=tmp_path, models=models, minutes=60, limit_s=1, tiny=False, only=""
        )
    )
    assert {g.shape for g in GROUPS} == {"0.6b", "4b", "8b", "14b"}
    assert sorted(folder.name for folder in models.iterdir()) == ["14b", "8b"]
    assert calibrate.done_layouts(tmp_path / "rows.jsonl", GROUPS[0]) == set()

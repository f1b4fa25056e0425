"""The calibration's file: what is written is what was fitted, a line a row; calibration removes only what it made."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from scripts.bench import calibrate
from scripts.bench.calibrate import DEMO_MODEL, END_TOKEN, GROUPS, Layout, measure_all, random_rows, written
from trainer.plan.estimate import CALIBRATION, load_calibration
from trainer.sft.first_batch import check_first_batch, expected_answers


def test_the_file_reads_back_and_has_a_line_for_every_row() -> None:
    text = CALIBRATION.read_text(encoding="utf-8")
    content, rows = json.loads(text), load_calibration().rows
    about = {name: value for name, value in content.items() if name not in ("columns", "rows")}
    assert written(about | {"rows": rows}) == text
    assert len(rows) == sum(line.startswith("[") for line in text.splitlines()) > 50


@pytest.mark.parametrize("layout", [Layout(4, 0), Layout(2, 64)])
def test_made_up_rows_pass_the_look_at_the_first_batch(layout: Layout) -> None:
    decode = Tokenizer.from_file(str(DEMO_MODEL / "tokenizer.json")).decode
    rows = random_rows(layout, 8, decode).to_pylist()
    for row in rows:
        batch = {name: [row[name]] for name in ("input_ids", "labels")}
        batch["position_ids"] = [list(range(row["length"]))]
        assert check_first_batch(batch, expected_answers(rows), decode, END_TOKEN)


@pytest.mark.parametrize(
    ("peak", "before", "recorded", "tells"),
    [(41.8, 31.5, True, 41.8), (35.3, 41.8, True, None), (36.0, 41.8, False, 36.0), (84.1, 0.0, True, None),
     (None, 0.0, False, None)],
)  # fmt: skip
def test_a_peak_counts_where_it_is_the_layout_s_own(
    peak: float | None, before: float, recorded: bool, tells: float | None
) -> None:
    assert calibrate.peak_that_tells(peak, before, 85.02, recorded) == tells


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

"""The table of trainings: a second measurement has a line of its own, and what is not counted is left empty."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from configs.model.known_shapes import known_config
from scripts.bench.train import operations_a_token, table


def measured(rate: float, **more: Any) -> dict[str, Any]:
    found = {"rows_a_step": 8, "batches": "padded", "count": 1, "useful_tokens_per_s": rate, "step_s": 0.5}
    return {**found, "reserved_gb": 40.0, **more}


def test_rows_laid_together_have_a_line_of_their_own() -> None:
    console = Console(width=140, file=io.StringIO(), record=True)
    short = measured(1000, share_of_ceiling=0.125)
    console.print(table({"ours-8": {**short, "then": measured(2000, long=2048)}, "trl": {"error": "out of memory"}}))
    lines = console.export_text().splitlines()
    assert any("1,000" in line and "12.5%" in line for line in lines)
    assert any("rows of 2048" in line and "2,000" in line and "%" not in line for line in lines)
    assert any("out of memory" in line for line in lines)


def test_operations_are_counted_for_dense_decoders_only(tmp_path: Path) -> None:
    counted = {}
    for name in ("Qwen/Qwen3-14B", "Qwen/Qwen3-30B-A3B", "Qwen/Qwen3.5-9B"):
        (tmp_path / "config.json").write_text(json.dumps(known_config(name)))
        counted[name] = operations_a_token(tmp_path, {"pairs": 8, "tokens": 4})
    assert counted.pop("Qwen/Qwen3-14B")
    assert set(counted.values()) == {None}

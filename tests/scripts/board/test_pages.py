"""What pages are given as JSON can be sent, and read by a browser, whatever a model or a run has written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from configs.errors import DataError
from scripts.board.app import _Json, _log, _refused
from scripts.board.pages import in_json, in_script
from tests.scripts.board.conftest import make_run

STRANGE = {
    "half": "a\ud83d",
    "lines": "\u2028\u2029",
    "tag": "</script><!--&",
    "loss": [float("nan"), {"x": float("-inf")}],
}


def test_half_characters_and_no_numbers_reach_a_browser() -> None:
    for text in (in_json(STRANGE), in_script(STRANGE), _Json(STRANGE).body.decode()):
        assert "NaN" not in text
        assert json.loads(text) == {**STRANGE, "loss": [None, {"x": None}]}
    assert not set("<>&\u2028\u2029\ud83d") & set(in_script(STRANGE))


def test_an_error_about_half_a_character_is_said() -> None:
    said = json.loads(_refused(DataError("'a\ud83d' is not served here", "x"), 400).body)
    assert said["error"] == "'a\ud83d' is not served here"


@pytest.mark.parametrize("damaged", ["[" * 100_000 + "\n", "5\n", "\xff\n", None])
def test_a_log_that_is_none_shows_no_curve(damaged: str | None, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert _log(run) == []
    run.logs.mkdir(exist_ok=True)
    if damaged is None:
        os.mkfifo(run.logs / "train.jsonl")
    else:
        (run.logs / "train.jsonl").write_text('{"step": 1, "loss": 2.0}\n' + damaged, encoding="latin-1")
    assert _log(run) == []

"""What pages are given as JSON can be sent, and read by a browser, whatever a model or a run has written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from configs.errors import DataError
from scripts.board.app import _Json, _log, _refused
from scripts.board.pages import in_json, in_script, source
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


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node is installed")
def test_hidden_tabs_leave_the_browsers_few_connections_to_others() -> None:
    browser = """
let hidden = false, open = 0, heard = {};
globalThis.document = {
  getElementById: () => ({ textContent: "{}" }),
  addEventListener: (name, tell) => { heard[name] = tell; },
  get hidden() { return hidden; },
};
globalThis.EventSource = class { constructor() { open++; } close() { open--; } addEventListener() {} };
"""
    shown = """
follow("/events", { runs: () => {} });
const seen = [open];
for (hidden of [true, true, false, false]) { heard.visibilitychange(); seen.push(open); }
console.log(JSON.stringify(seen));
"""
    said = subprocess.run(["node", "-e", browser + source("common.js") + shown], stdout=-1, check=True).stdout
    assert json.loads(said) == [1, 0, 0, 1, 1]
    assert "EventSource" not in source("index.js") + source("run.js")


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

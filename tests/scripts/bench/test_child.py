"""A measurement in a process of its own: what it left, and what went wrong, are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bench.child import must_run, run_child


def test_what_the_child_leaves_is_returned_and_an_older_result_is_not(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    for text in ('{"b": 2}', '{"a": 1}'):
        (tmp_path / "in.json").write_text(text, encoding="utf-8")
        found = run_child("json.tool", [str(tmp_path / "in.json"), str(result)], result)
    assert found["a"] == 1
    assert "b" not in found
    assert "error" not in found
    assert found["process_s"] >= 0
    assert "left no result" in run_child("json.tool", ["--help"], result, log=tmp_path / "log")["error"]
    assert not result.exists()


def test_a_failure_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    found = run_child("json.tool", [str(tmp_path / "none.json")], log=tmp_path / "log")
    assert found["error"].startswith("exit code ")
    assert "none.json" in found["error"]
    with pytest.raises(SystemExit, match=r"json.tool .*none.json: exit code"):
        must_run("json.tool", [str(tmp_path / "none.json")], log=tmp_path / "log")


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    found = run_child("http.server", ["--bind", "127.0.0.1", "0"], limit_s=1, log=tmp_path / "log")
    assert found["error"].startswith("not done within 1 s")

"""Answers on disk that somebody else may have written: read as what they say they are, or refused with their place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from configs.disk.files import file_bytes
from configs.errors import DataError
from eval.ask.endpoint import Endpoint
from eval.ask.evaluate import evaluate
from eval.ask.results import drop_torn_line, read_results
from tests.eval.ask.test_evaluate import QUICK, qa_task


@pytest.fixture
def answered(endpoint: Endpoint, tmp_path: Path) -> Path:
    evaluate(endpoint, [qa_task(3)], tmp_path, settings=QUICK)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("scores", [{"zh_f1": nothing} for nothing in (float("nan"), float("inf"), [5], "", None)] + [[5], 5]),
        ("flags", [float("nan"), "x", {}, [5]]),
        ("error", [5, "x", [5], {"class": 5, "message": "x"}, {"message": "x"}]),
        ("usage", [5, {"prompt_tokens": 0.5}, {"prompt_tokens": "many"}]),
        ("latency_s", [float("nan"), "x", None]),
        ("status", ["done", 5, None]),
        ("references", [5, "x", [5]]),
        ("id", [5, None, ["x"]]),
    ],
)
def test_a_field_of_another_type_is_named_with_its_line(key: str, values: list[object], answered: Path) -> None:
    file = answered / "qa.jsonl"
    first, *rest = file.read_text(encoding="utf-8").splitlines()
    for value in values:
        file.write_text("\n".join([json.dumps(json.loads(first) | {key: value}), *rest]) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"qa.jsonl, line 1: not a sample of this evaluation"):
            read_results(answered)


@pytest.mark.parametrize("line", ["[]", "5", "{}", "[" * 100_000, '{"error": 5}'])
def test_a_line_that_is_no_sample_is_named(line: str, answered: Path) -> None:
    (answered / "qa.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"qa.jsonl, line 1: not a sample of this evaluation"):
        read_results(answered)


@pytest.mark.parametrize("value", [float("nan"), [5], {"a": {}}], ids=str)
@pytest.mark.parametrize("key", ["samples_sha256", "n", "metrics", "primary", "thinking", "group"])
def test_a_meta_file_of_another_shape_is_named(key: str, value: object, answered: Path) -> None:
    file = answered / "qa.meta.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {key: value}), encoding="utf-8")
    with pytest.raises(DataError, match=r"qa.meta.json: not a meta file of this version") as said:
        read_results(answered)
    assert "delete it" in said.value.next_step


@pytest.mark.parametrize("name", ["qa.jsonl", "qa.meta.json"])
def test_a_pipe_in_the_place_of_answers_is_not_waited_for(name: str, answered: Path) -> None:
    (answered / name).unlink()
    os.mkfifo(answered / name)
    with pytest.raises(OSError, match="a pipe or a device stands in the place of a file"):
        read_results(answered)


def test_a_journal_of_any_size_loses_its_torn_line_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.touch()
    os.truncate(file, 3 << 30)  # sparse, and longer than what is read as a whole
    with file.open("r+b") as handle:
        handle.seek(0, os.SEEK_END)
        handle.write(b'\n{"torn')
    drop_torn_line(file)
    assert file.stat().st_size == (3 << 30) + 1


def test_answers_may_be_more_than_what_is_read_as_a_whole(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_bytes, "__defaults__", (5000,))
    evaluate(endpoint, [qa_task(50)], tmp_path, settings=QUICK)
    assert (tmp_path / "qa.jsonl").stat().st_size > 5000
    assert len(read_results(tmp_path)["qa"].samples) == 50

"""The scoring benchmark fails where a score is not the official one."""

import json
from pathlib import Path

import pytest

from scripts.bench import scoring as bench_scoring


def test_any_other_score_than_the_official_one_is_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("rouge_score")
    article = {"context": "中国的首都是北京。", "qas": [{"id": "1", "answers": [{"text": "北京"}]}]}
    (tmp_path / "cmrc2018_dev.json").write_text(json.dumps({"data": [{"paragraphs": [article]}]}), encoding="utf-8")
    monkeypatch.setenv("TUNESERVE_SHARED_DATA", str(tmp_path))
    monkeypatch.setattr(bench_scoring, "bench_bootstrap", lambda console: None)
    official = {"first gold answer": (100.0, 100.0), "答案是…。": (57.142857, 0.0), "first 30 characters": (40.0, 0.0)}
    monkeypatch.setattr(bench_scoring, "_OFFICIAL", official)
    bench_scoring.main()
    right = bench_scoring.rouge
    for spoil in (
        lambda patch: patch.setitem(official, "first 30 characters", (40.000001, 0.0)),
        lambda patch: patch.setattr(bench_scoring, "rouge", lambda *texts: {**right(*texts), "rougeL": 0.25}),
    ):
        with monkeypatch.context() as patch:
            spoil(patch)
            with pytest.raises(SystemExit, match="1"):
                bench_scoring.main()
    assert "1 sets of CMRC answers" in capsys.readouterr().out

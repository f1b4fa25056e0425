"""The files of a report."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from configs.errors import ConfigError
from eval.compare.comparison import Sentence
from eval.compare.faults import with_faults
from eval.compare.flips import without_answers
from eval.report.write import refuse_other_reports, write_reports
from tests.eval.report.pages import build


def test_no_file_quotes_what_was_asked_or_answered(tmp_path: Path) -> None:
    row = {"trained_text": "第1题", "served_text": "第1题"}
    figures = {"likeliest": "a", "served": "b", "best_nats": 1, "other_nats": 2, "wins": 9, "rows": 9, "file": "f"}
    drift = {"key": "finding.template_drift", "values": {**row, **figures}, "fault": True}
    known = {"parity": {"difference": row}, "foreign": {"findings": [drift]}}
    plain = build()
    quoting = with_faults(replace(plain, facts={**plain.facts, **known}), [Sentence(drift["key"], drift["values"])])
    silent = without_answers(quoting)
    texts = [
        "".join(path.read_text(encoding="utf-8") for path in write_reports([comparison], tmp_path / name).values())
        for name, comparison in (("quoting", quoting), ("silent", silent))
    ]
    for quoted in ("第1题", "北京", "alert("):
        assert [quoted in text for text in texts] == [True, False]
    assert "Answers that changed" not in texts[1]
    for before, after in zip(quoting.tasks, silent.tasks, strict=True):
        assert after == replace(before, flips=())
        assert (after.lost, after.gained) == (before.lost, before.gained)


def test_files_of_a_run(tmp_path: Path) -> None:
    comparison = build()
    written = write_reports([comparison], tmp_path / "report")
    assert sorted(written) == ["report.html", "report.json", "report.junit.xml", "report.md"]
    assert {path.name for path in (tmp_path / "report").iterdir()} == set(written)
    again = {name: path.read_bytes() for name, path in written.items()}
    assert write_reports([build()], tmp_path / "report") == written
    assert again == {name: path.read_bytes() for name, path in written.items()}
    refuse_other_reports(tmp_path / "report")
    (tmp_path / "report" / "report.html").unlink()
    refuse_other_reports(tmp_path / "report")


def test_each_of_several_models_has_files_of_its_own(tmp_path: Path) -> None:
    written = write_reports([replace(build(), tuned=name) for name in ("shop:v2", "shop_v2")], tmp_path)
    assert [name for name in written if name.endswith(".json")] == ["report.shop_v2.json", "report.shop_v2-2.json"]
    assert '"shop:v2"' in written["report.shop_v2.json"].read_text(encoding="utf-8")
    assert '"shop_v2"' in written["report.shop_v2-2.json"].read_text(encoding="utf-8")


HARM = "<script>alert(1)</script> ![x](http://127.0.0.1/y) [/x] :smile: a|b\x1b]52;c;Zm9v\x07\x00\u202e\ud800"


def test_what_others_wrote_is_shown_in_every_report_and_does_nothing(tmp_path: Path) -> None:
    comparison = build()
    quoting = next(task for task in comparison.tasks if task.flips)
    flip = replace(quoting.flips[0], question=HARM, tuned_answer=HARM)
    tasks = tuple(replace(task, flips=(flip,)) if task is quoting else task for task in comparison.tasks)
    files = write_reports([replace(comparison, tuned=HARM, base=HARM, tasks=tasks)], tmp_path)
    texts = {name: file.read_text(encoding="utf-8") for name, file in files.items() if file.suffix != ".json"}
    assert len(texts) == 3
    for name, text in texts.items():
        assert "<script>alert" not in text, name
        assert not set(text) & set("\x00\x07\x1b\u202e\ud800"), name
    ElementTree.fromstring(texts["report.junit.xml"])
    assert "]\\(http" in texts["report.md"]


@pytest.mark.parametrize("name", ["report.md", "report.json", "report.html"])
def test_somebody_s_own_report_is_not_written_over(name: str, tmp_path: Path) -> None:
    refuse_other_reports(tmp_path / "new")
    (tmp_path / name).write_text('{"tasks": []}', encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{name} is in it, which is no report of ours"):
        refuse_other_reports(tmp_path)

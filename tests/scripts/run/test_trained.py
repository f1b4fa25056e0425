"""What a run was trained on, held against what it is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from configs.recipe.load import load_config, validate
from configs.run.rundir import RunDir
from scripts.run.tasks import heldout_tasks, tasks_at_hand
from scripts.run.trained import say_what_is_trained, trained_conversations, untold
from trainer.data.prepare import prepare

DEMO = Path("configs/demo/model").resolve()


def write(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([{"question": f"北湖公园第{n}号门几点开放？", "answer": f"{n}点"} for n in range(20)], "of its 20 questions"),
        ([{"question": f"南山茶厂第{n}车间有几个人？", "answer": f"{n}人"} for n in range(20)], ""),
    ],
)
def test_tasks_whose_questions_are_trained_are_named_whatever_file_they_stand_in(
    asked: list[dict], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    rows = [
        {"messages": [{"role": "user", "content": f"你好，北湖公园第{n}号门几点开放？"},
                      {"role": "assistant", "content": f"{n}点开放。"}]}
        for n in range(60)
    ]  # fmt: skip
    source, task = write(tmp_path / "rows.jsonl", rows), write(tmp_path / "asked.jsonl", asked)
    tasks = f"[{{name: mine, type: exact, path: {task}}}]"
    config = load_config("demo", [f"data.sources=[{source}]", "data.replay=null", f"eval.tasks={tasks}"])
    data = prepare(config, DEMO).folder
    say_what_is_trained([*heldout_tasks(data, config), *tasks_at_hand(config)], data, config)
    shown = " ".join(capsys.readouterr().out.split())
    assert ("task mine:" in shown) == bool(said)
    assert said in shown
    assert "heldout" not in shown


@pytest.mark.parametrize("content", [b"no table", b""])
def test_texts_that_are_damaged_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "texts.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"texts.parquet: damaged"):
        list(trained_conversations(tmp_path, load_config("demo", [])))


def test_texts_of_another_kind_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"asked": [[["deep"]]], "said": [[1]]}), tmp_path / "texts.parquet")
    with pytest.raises(DataError, match=r"texts.parquet: damaged"):
        list(trained_conversations(tmp_path, load_config("demo", [])))


def test_rows_that_a_judged_model_was_only_looked_at_with_are_not_what_it_was_trained_on(tmp_path: Path) -> None:
    pq.write_table(pa.table({"asked": [["几点？"]], "said": [["九点。"]]}), tmp_path / "texts.parquet")
    for known in (True, False):
        recipe = {"name": "t", "model": "m", "data": {"sources": "x"}, "foreign": {"model": "o/m", "rows_known": known}}
        assert len(list(trained_conversations(tmp_path, validate(recipe, tmp_path / "t.yaml")))) == known


def test_what_does_not_say_any_more_what_was_trained_is_named(tmp_path: Path) -> None:
    config = load_config("demo", [f"output_dir={tmp_path}", f"train.continue_from={tmp_path / 'moved'}"])
    run = RunDir.create(config)
    run.data.mkdir()
    assert untold(run, config) == [str(tmp_path / "moved" / "data")]
    (run.data / "texts.parquet").touch()
    with run.stage("data", {}, [run.data]):
        pass
    (run.data / "texts.parquet").unlink()
    assert untold(run, config)[0] == str(run.data)

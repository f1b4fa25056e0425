"""The stage in which the base writes: made once, chosen anew for other questions, trained behind the user's rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.handover.base import read_rows
from configs.handover.selfmade import SelfMadeRow
from configs.load import load_config
from configs.rundir import RunDir
from scripts.run.selfmade import make_selfmade
from tests.eval.selfmade.test_make import END, Fake, obedient
from tests.scripts.conftest import ROOT
from tests.scripts.run.test_pipeline import NoServer
from trainer.data.prepare import prepare, prepared_facts
from trainer.data.selfmade import plan_in_words, planned, training_rows
from trainer.data.template import IGNORED
from trainer.sft.stage import train_inputs

SELF = "data.replay=self"


@pytest.fixture
def writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """Every writer that a stage had, in order; their base needs no server."""
    used: list[Fake] = []

    def fake(**given: Any) -> Fake:
        used.append(Fake(given["pool"].folder, obedient))
        assert given["end_token_id"] == END
        return used[-1]

    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("scripts.run.selfmade.Writer", fake)
    return used


def opened(folder: Path, *overrides: str) -> RunDir:
    """A run whose data are prepared; one end-of-turn token stands for all."""
    config = load_config(ROOT / "configs" / "demo.yaml", [f"output_dir={folder}", "data.replay=null", *overrides])
    run = RunDir.create(config)
    model = ROOT / "configs" / "demo" / "model"
    found = prepare(config, model)
    run.data.mkdir(exist_ok=True)
    for file in found.folder.rglob("*"):
        target = run.data / file.relative_to(found.folder)
        target.parent.mkdir(exist_ok=True)
        if file.is_file():
            target.write_bytes(file.read_bytes())
    facts = prepared_facts(config, model, found.report)
    run.update(prepared=facts.model_copy(update={"end_token_id": END}))
    return run


def made(run: RunDir) -> None:
    make_selfmade(run, run.config(), NoServer())


def ids(run: RunDir, use: str) -> list[str]:
    return [row.id for row in read_rows(run.selfmade / f"{use}.jsonl", SelfMadeRow, "selfmade")]


def test_rows_are_made_once_and_trained_behind_the_users(tmp_path: Path, writers: list[Fake]) -> None:
    run = opened(tmp_path, SELF)
    made(run)
    assert (len(ids(run, "train")), len(ids(run, "unseen"))) == (256, 200)
    stage = run.read().stages["selfmade"]
    assert stage.state == "done"
    assert stage.figures["languages"] == {"zh": 342, "en": 114}
    made(run)
    assert len(writers) == 1

    rows = training_rows(run, run.config())
    assert rows.num_rows == 740 + 256
    last = rows.slice(740).to_pylist()
    known = read_rows(run.selfmade / "train.jsonl", SelfMadeRow, "selfmade")
    for row, wrote in zip(last, known, strict=True):
        assert row["input_ids"] == [*wrote.prompt_ids, *wrote.answer_ids]
        labels = np.array(row["labels"])
        assert (labels[: len(wrote.prompt_ids)] == IGNORED).all()
        assert labels[len(wrote.prompt_ids) :].tolist() == wrote.answer_ids
        assert row["said"] == [wrote.messages[-1]["content"]]
        assert row["length"] == len(row["input_ids"])


def test_a_run_that_replays_nothing_makes_nothing(tmp_path: Path, writers: list[Fake]) -> None:
    run = opened(tmp_path)
    made(run)
    assert not writers
    assert not run.selfmade.exists()
    assert training_rows(run, run.config()).num_rows == 740
    assert planned(run.config(), run.data).train == 0


def test_unseen_rows_alone_are_made_where_only_something_is_measured_on_them(
    tmp_path: Path, writers: list[Fake]
) -> None:
    run = opened(tmp_path, "merge.scale=auto", "data.selfmade.unseen=40")
    made(run)
    assert (len(ids(run, "train")), len(ids(run, "unseen"))) == (0, 40)
    assert training_rows(run, run.config()).num_rows == 740


def test_what_training_depends_on_holds_the_rows(tmp_path: Path, writers: list[Fake]) -> None:
    run = opened(tmp_path, SELF)
    with pytest.raises(Exception, match=r"selfmade/train.jsonl: the rows are gone, or not made yet"):
        train_inputs(run, run.config(), run.prepared())
    made(run)
    before = train_inputs(run, run.config(), run.prepared())["data"]
    file = run.selfmade / "train.jsonl"
    file.write_text(file.read_text(encoding="utf-8").partition("\n")[2], encoding="utf-8")
    assert train_inputs(run, run.config(), run.prepared())["data"] != before
    made(run)  # what is not as it was written is made again, from the cache
    assert train_inputs(run, run.config(), run.prepared())["data"] == before
    assert not writers[-1].drawn


def test_another_run_over_the_same_base_chooses_from_what_is_there(tmp_path: Path, writers: list[Fake]) -> None:
    first, second = opened(tmp_path, SELF, "name=first"), opened(tmp_path, SELF, "name=second", "lora.r=4")
    made(first)
    made(second)
    assert (second.selfmade / "train.jsonl").read_bytes() == (first.selfmade / "train.jsonl").read_bytes()
    assert [writers[-1].drawn, writers[-1].asked, writers[-1].measured] == [[], [], []]
    third = opened(tmp_path, SELF, "name=third", "seed=43")
    made(third)
    assert len(writers[-1].drawn) >= 256  # another seed, other rows


def test_a_question_that_a_task_asks_is_left_out_of_its_run_only(tmp_path: Path, writers: list[Fake]) -> None:
    run = opened(tmp_path, SELF, "name=first")
    made(run)
    asked = read_rows(run.selfmade / "train.jsonl", SelfMadeRow, "selfmade")[0]
    rows = tmp_path / "rows.jsonl"
    question = asked.messages[0]["content"]
    rows.write_text(json.dumps({"question": f"{question}", "answer": "1"}) + "\n", encoding="utf-8")
    other = opened(
        tmp_path, SELF, "name=second", f"eval.tasks=[{{name: mine, type: qa, path: {rows}}}]", "eval.heldout=true"
    )
    made(other)
    assert asked.id not in ids(other, "train") + ids(other, "unseen")
    assert not writers[-1].drawn
    figures = other.read().stages["selfmade"].figures
    assert figures["unusable_questions"].get("asked_elsewhere") == 1


def test_check_says_how_many_rows_from_what(tmp_path: Path, writers: list[Fake]) -> None:
    run = opened(tmp_path, "data.replay={source: self, ratio: 0.5}")
    plan = planned(run.config(), run.data)
    assert (plan.train, plan.unseen, plan.languages) == (370, 200, {"zh": 1.0})
    said = plan_in_words(plan, run.config())
    assert "370 rows to train (0.5 for each of 740 conversations, 256 at least" in said
    assert "and 200 to measure on" in said
    assert "25% of them in other languages than yours (zh)" in said

"""The stage in which the base writes: made once, chosen anew for other questions, trained behind the user's rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import TuneserveError
from configs.handover.base import read_rows
from configs.handover.prompt_logprobs import TOP
from configs.handover.selfmade import SelfMadeRow, SoftTargets
from configs.recipe.load import load_config
from configs.run.rundir import RunDir
from scripts.run.selfmade import make_selfmade
from tests.eval.selfmade.test_make import END, Fake, obedient
from tests.scripts.conftest import ROOT
from tests.scripts.run.test_pipeline import NoServer
from trainer.data.prepare import prepare, prepared_facts
from trainer.data.selfmade import SOFT_TARGETS, plan_in_words, planned, soft_rows, training_rows
from trainer.data.template import IGNORED
from trainer.sft.stage import train_inputs

MODEL = ROOT / "configs" / "demo" / "model"
SELF = "data.replay=self"
HARD = "data.selfmade.soft_targets=false"


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
    found = prepare(config, MODEL)
    run.data.mkdir(exist_ok=True)
    for file in found.folder.rglob("*"):
        target = run.data / file.relative_to(found.folder)
        target.parent.mkdir(exist_ok=True)
        if file.is_file():
            target.write_bytes(file.read_bytes())
    facts = prepared_facts(config, MODEL, found.report)
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
    assert planned(run.config(), run.data, MODEL).train == 0


def test_unseen_rows_alone_are_made_where_only_something_is_measured_on_them(
    tmp_path: Path, writers: list[Fake]
) -> None:
    run = opened(tmp_path, "merge.scale=auto", "data.selfmade.unseen=40")
    made(run)
    assert (len(ids(run, "train")), len(ids(run, "unseen"))) == (0, 40)
    assert training_rows(run, run.config()).num_rows == 740


def test_what_training_depends_on_holds_the_rows_and_no_place(tmp_path: Path, writers: list[Fake]) -> None:
    run = opened(tmp_path, SELF)
    with pytest.raises(Exception, match=r"selfmade/train.jsonl: the rows are gone, or not made yet"):
        train_inputs(run, run.config(), run.prepared())
    made(run)
    before = train_inputs(run, run.config(), run.prepared())["data"]
    moved = run.config().train.model_copy(update={"continue_from": str(tmp_path / "moved")})  # the same weights
    moved_run = run.config().model_copy(update={"train": moved})
    assert train_inputs(run, moved_run, run.prepared()) == train_inputs(run, run.config(), run.prepared())
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


def test_soft_targets_are_read_over_the_same_rows_and_are_what_training_depends_on(
    tmp_path: Path, writers: list[Fake]
) -> None:
    hard, soft = opened(tmp_path, SELF, HARD, "name=hard"), opened(tmp_path, SELF, "name=soft")
    made(hard)
    made(soft)
    assert not (hard.selfmade / SOFT_TARGETS).exists()
    assert ids(soft, "train") == ids(hard, "train")
    assert (writers[-1].asked, len(writers[-1].softened)) == ([], 256)
    assert soft.read().stages["selfmade"].figures["soft_targets"] == 256
    inputs = [train_inputs(run, run.config(), run.prepared()) for run in (hard, soft)]
    assert inputs[0]["data"] != inputs[1]["data"]
    assert inputs[1]["data.selfmade.soft_targets"] is True
    assert "data.selfmade.soft_targets" not in inputs[0]

    known = read_rows(soft.selfmade / "train.jsonl", SelfMadeRow, "selfmade")
    for row, wrote in zip(soft_rows(soft), known, strict=True):
        assert row.input_ids.tolist() == [*wrote.prompt_ids, *wrote.answer_ids]
        assert row.top_ids[:, 0].tolist() == wrote.answer_ids
        assert row.probabilities.shape == (len(wrote.answer_ids), TOP)
        assert row.probabilities.sum(1) == pytest.approx(1, abs=1e-6)
        # The base's own share of what all of them have: exp(-1) of the one before.
        assert row.probabilities[0, 1] / row.probabilities[0, 0] == pytest.approx(np.exp(-1), rel=1e-5)

    # Switched off again, what was read is gone from the run.
    RunDir.create(soft.config().model_copy(update={"data": hard.config().data}))
    made(soft)
    assert not (soft.selfmade / SOFT_TARGETS).exists()
    assert soft.read().stages["selfmade"].figures["soft_targets"] == 0


def test_damaged_soft_targets_are_named(tmp_path: Path, writers: list[Fake]) -> None:
    run = opened(tmp_path, SELF)
    made(run)
    file = run.selfmade / SOFT_TARGETS
    first, *others = file.read_text(encoding="utf-8").splitlines()
    number = json.loads(first)["number"]
    for damaged, message in (
        ([], f"not the likely tokens of self:{number}: 0 places for an answer of 3 tokens"),
        ([first, first], f"not the likely tokens of self:{number}: 3 places for an answer of 0 tokens"),
        ([first[:-9]], "line 1: not JSON"),
        ([f'{{"number": {number}, "token_ids": "AAAA", "logprobs": "AAAA"}}'], "line 1: likely: Field required"),
        ([SoftTargets.of(number, [[(1, -1.0)] * TOP]).model_dump_json()], "1 places for an answer of 3 tokens"),
        ([SoftTargets.of(number, [[(3584, -1.0)] * TOP] * 3).model_dump_json()], "a token id of 3584 or more"),
    ):
        file.write_text("\n".join([*damaged, *others]) + "\n", encoding="utf-8")
        with pytest.raises(TuneserveError, match=rf"{SOFT_TARGETS}.*{message}"):
            list(soft_rows(run))


def test_a_run_whose_soft_targets_are_of_an_older_layout_gets_them_again(
    tmp_path: Path, writers: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path, SELF)
    with monkeypatch.context() as older:
        older.setattr("scripts.run.selfmade._SOFT_LAYOUT", 1)
        made(run)
    made(run)
    made(run)
    assert len(writers) == 2
    assert len(list(soft_rows(run))) == 256


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
    run = opened(tmp_path, "data.replay={source: self, ratio: 0.5}", HARD)
    plan = planned(run.config(), run.data, MODEL)
    assert (plan.train, plan.unseen, plan.languages) == (370, 200, {"zh": 1.0})
    said = plan_in_words(plan, run.config())
    assert "370 rows to train (0.5 for each of 740 conversations, 256 at least" in said
    assert "and 200 to measure on" in said
    assert "25% of them in other languages than yours (zh)" in said
    assert "most likely tokens" not in said
    softly = opened(tmp_path, SELF, "name=softly")
    plan = planned(softly.config(), softly.data, MODEL)
    assert "its 20 most likely tokens are read" in plan_in_words(plan, softly.config())

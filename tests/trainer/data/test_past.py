"""A run that goes on from another holds nothing out that the other was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from configs.recipe.load import validate
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from trainer.data.corpus import Corpus, gather
from trainer.data.past import FILE, past_warning, write_asked
from trainer.data.tally import Tally


def recipe(folder: Path, name: str, rows: int, before: str | None = None, **data: Any) -> RunConfig:
    lines = [json.dumps({"question": f"第{n}件可以退吗？", "answer": f"可以退{n}次。"}) for n in range(rows)]
    (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    values: dict[str, Any] = {"name": name, "model": "m", "output_dir": str(folder / "runs")}
    values |= {"data": {"sources": f"{name}.jsonl", "eval_split": 0.2, **data}}
    if before:
        values["train"] = {"continue_from": str(folder / "runs" / before)}
    return validate(values, folder / f"{name}.yaml")


def trained(config: RunConfig) -> Corpus:
    """What a run is trained on, once it says so."""
    run, corpus = RunDir.create(config), gather(config, Tally())
    run.data.mkdir(exist_ok=True)
    write_asked(corpus.asked, run.data / FILE)
    return corpus


def said(corpus: Corpus) -> tuple[set[str], set[str]]:
    """Questions that are trained, and those that are held out."""
    return tuple({c.messages[0]["content"] for c in part} for part in (corpus.train, corpus.heldout))  # type: ignore[return-value]


def test_more_rows_hold_out_none_that_was_trained(tmp_path: Path) -> None:
    first_trained, first_held = said(trained(recipe(tmp_path, "one", 40)))
    again_trained, again_held = said(trained(recipe(tmp_path, "two", 60, "one")))
    assert (len(first_held), len(again_held)) == (8, 12)
    assert first_trained.isdisjoint(again_held)
    # What the first run of all was trained on is known through the one between.
    _, last_held = said(trained(recipe(tmp_path, "three", 90, "two")))
    assert len(last_held) == 18
    assert (first_trained | again_trained).isdisjoint(last_held)


def test_where_everything_was_trained_nothing_is_held_out(tmp_path: Path) -> None:
    trained(recipe(tmp_path, "one", 40, eval_split=0))
    with pytest.raises(DataError, match="one was trained on all of these rows, so that none can be held out"):
        gather(recipe(tmp_path, "two", 40, "one"), Tally())
    held = [json.dumps({"question": f"第{n}件可以退吗？", "answer": "可以。"}) for n in (3, 70)]
    (tmp_path / "held.jsonl").write_text("\n".join(held), encoding="utf-8")
    tally = Tally()
    corpus = gather(recipe(tmp_path, "three", 40, "one", heldout="held.jsonl"), tally)
    assert tally.places["trained_before"] == ["held.jsonl:1"]
    assert said(corpus)[1] == {"第70件可以退吗？"}


def test_a_run_that_does_not_say_what_it_was_trained_on_is_named(tmp_path: Path) -> None:
    config = recipe(tmp_path, "one", 40)
    assert past_warning(config) == ""
    RunDir.create(config)
    after = recipe(tmp_path, "two", 40, "one")
    assert "one does not say what it was trained on" in past_warning(after)
    trained(config)
    assert past_warning(after) == ""


def test_what_was_cut_since_does_not_tell_what_was_trained(tmp_path: Path) -> None:
    config = recipe(tmp_path, "one", 40)
    trained(config)
    file = tmp_path / "runs" / "one" / "data" / FILE
    with RunDir(file.parent.parent).stage("data", {}, [file]):
        pass
    after = recipe(tmp_path, "two", 60, "one")
    gather(after, Tally())
    file.write_bytes(file.read_bytes()[:-32])
    with pytest.raises(DataError, match=r"asked\.bin: is not what was written"):
        gather(after, Tally())

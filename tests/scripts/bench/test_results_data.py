"""From official files to the recipes of `configs/results`: split by passage, and asked as it was trained."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from configs.recipe.load import load_config
from eval.tasks import load_tasks
from scripts.bench.results_data import CSL_HELDOUT, HELDOUT_FROM, SHORT_CHARACTERS, TEST_FROM, make
from tests.scripts.conftest import ROOT

RECIPES = sorted((ROOT / "configs" / "results").glob("*.yaml"))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def paragraph(number: int) -> dict[str, Any]:
    answers = [{"text": text, "answer_start": 0} for text in (f"{number}年一月", f"{number}年", f"{number}年")]
    context = f"第{number}座桥建于{number}年一月。" + "桥" * (200 if number % 2 else 400)
    questions = [{"id": f"q{number}-{n}", "question": f"桥{n}何时建成？", "answers": answers} for n in range(2)]
    return {"id": f"p{number}", "context": context, "qas": questions}


def old_layout(part: dict[str, Any]) -> dict[str, Any]:
    asked = [
        {"query_id": q["id"], "query_text": q["question"], "answers": [a["text"] for a in q["answers"]]}
        for q in part["qas"]
    ]
    return {"context_id": part["id"], "context_text": part["context"], "qas": asked}


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    parts = [paragraph(n) for n in range(TEST_FROM + 4)]
    write(folder / "squad-style-data" / "cmrc2018_dev.json", json.dumps({"data": [{"paragraphs": parts}]}))
    for split in ("dev", "test"):
        pairs = [f"to title\t关于{split}的第{n}个问题。\t{split}题{n}\n" for n in range(CSL_HELDOUT + 30)]
        write(folder / "CSL" / "benchmark" / "ts" / f"{split}.tsv", "".join(pairs))
        exam = ",Question,A,B,C,D,Answer\n" + "".join(f"{n},{split}{n}?,甲,乙,丙,丁,A\n" for n in range(5))
        write(folder / "cmmlu" / split / "agronomy.csv", exam)
    for part, problem in (("test", "1 + 1?"), ("train", "2 + 0?")):
        write(folder / "gsm8k" / f"{part}.jsonl", json.dumps({"question": problem, "answer": "#### 2"}) + "\n")
    write(folder / "alpaca_zh_demo.json", json.dumps([{"instruction": "你好", "input": "", "output": "你好。"}]))
    return folder


def test_training_never_sees_a_passage_of_the_test(downloads: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    made, missing = make(downloads, out)
    assert missing == []
    assert (made["cmrc_train.jsonl"], made["cmrc_test.json"]) == (2 * HELDOUT_FROM, 8)
    test = json.loads((out / "cmrc_test.json").read_text(encoding="utf-8"))["data"][0]["paragraphs"]
    assert [part["id"] for part in test] == [f"p{TEST_FROM + n}" for n in range(4)]
    for name in ("cmrc_train", "cmrc_heldout", "cmrc_short_train"):
        trained = "".join(row["messages"][0]["content"] for row in rows(out / f"{name}.jsonl"))
        assert not [part["id"] for part in test if part["context"] in trained]
    asked = {row["id"] for row in rows(out / "cmrc_train.jsonl")}
    assert not asked & {row["id"] for row in rows(out / "cmrc_heldout.jsonl")}
    assert (made["csl_train.jsonl"], made["csl_heldout.jsonl"]) == (30, CSL_HELDOUT)


def test_the_answer_of_most_annotators_is_trained(downloads: Path, tmp_path: Path) -> None:
    make(downloads, tmp_path)
    assert rows(tmp_path / "cmrc_train.jsonl")[4]["messages"][-1] == {"role": "assistant", "content": "2年"}


def test_short_sets_hold_short_passages(downloads: Path, tmp_path: Path) -> None:
    made, _ = make(downloads, tmp_path)
    assert (made["cmrc_short_train.jsonl"], made["cmrc_short_test.json"]) == (HELDOUT_FROM, 4)
    short = json.loads((tmp_path / "cmrc_short_test.json").read_text(encoding="utf-8"))["data"][0]["paragraphs"]
    assert all(len(part["context"]) <= SHORT_CHARACTERS for part in short)


def test_the_first_layout_of_cmrc_gives_the_same_questions(downloads: Path, tmp_path: Path) -> None:
    make(downloads, tmp_path / "squad")
    old = [old_layout(paragraph(n)) for n in range(TEST_FROM + 4)]
    write(tmp_path / "other" / "cmrc2018_dev.json", json.dumps(old))
    made, missing = make(tmp_path / "other", tmp_path / "old")
    assert rows(tmp_path / "old" / "cmrc_train.jsonl") == rows(tmp_path / "squad" / "cmrc_train.jsonl")
    assert made["cmrc_short_test.json"] == 4
    assert [what.partition(" ")[0] for what in missing] == [
        "ts_dev.tsv", "ts_test.tsv", "gsm8k/test.jsonl", "test/agronomy.csv", "alpaca_zh_demo.json",
    ]  # fmt: skip


def test_an_empty_folder_and_another_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the data sets"):
        make(tmp_path, tmp_path / "out")
    write(tmp_path / "cmrc2018_dev.json", json.dumps({"data": [{"paragraphs": [paragraph(1)]}]}))
    with pytest.raises(DataError, match="1 different paragraphs of 1"):
        make(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda file: file.stem)
def test_the_recipes_ask_as_they_train(
    recipe: Path, downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(downloads, tmp_path / "results-data")
    monkeypatch.chdir(tmp_path)
    config = load_config(recipe)
    trained = [row for source in config.data.sources for row in rows(Path(source.path.partition("#")[0]))]
    prompts = {row["messages"][0]["content"][:20] for row in trained}
    for task in load_tasks(config.eval.tasks, config.eval_seed):
        assert task.role == "retention" or {item.messages[0]["content"][:20] for item in task.items} <= prompts


def test_real_cmrc_gives_the_documented_counts(tmp_path: Path) -> None:
    folder = os.environ.get("TUNESERVE_SHARED_DATA")
    if not folder:
        pytest.skip("TUNESERVE_SHARED_DATA is not set")
    made, _ = make(Path(folder), tmp_path / "out")
    assert (made["cmrc_train.jsonl"], made["cmrc_heldout.jsonl"], made["cmrc_test.json"]) == (2115, 131, 973)
    assert (made["csl_test.tsv"], made["gsm8k/test.jsonl"], made["cmmlu/test"]) == (1000, 1319, 67)

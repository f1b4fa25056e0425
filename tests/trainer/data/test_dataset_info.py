"""Folders of LLaMA-Factory and exports of Easy Dataset load as they are: a layout for each file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from configs.recipe.load import validate
from configs.recipe.schema import SourceConfig
from tests.trainer.data.gathered import texts
from trainer.data.corpus import Corpus, gather
from trainer.data.sources import fingerprint
from trainer.data.tally import Tally

ASKED = [("u", "几点开门？"), ("a", "九点。")]


def folder_of(root: Path, entries: dict[str, Any], **files: Any) -> Path:
    folder = root / "data"
    folder.mkdir()
    (folder / "dataset_info.json").write_text(json.dumps(entries), encoding="utf-8")
    for name, rows in files.items():
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def load(path: Path, **source: Any) -> tuple[Corpus, Tally]:
    sources = [{"path": str(path), **source}]
    tally = Tally()
    recipe = {"name": "t", "model": "m", "data": {"sources": sources, "eval_split": 0}}
    return gather(validate(recipe, path.parent / "t.yaml"), tally), tally


def test_each_file_has_the_columns_and_tags_of_its_entry(tmp_path: Path) -> None:
    entries = {
        "mine": {"file_name": "mine.json", "columns": {"prompt": "ask", "response": "reply", "system": "who"}},
        "chat": {
            "file_name": "chat.json",
            "formatting": "sharegpt",
            "columns": {"messages": "talk"},
            "tags": {
                "role_tag": "wer", "content_tag": "satz", "user_tag": "kunde", "assistant_tag": "haus",
                "system_tag": "regel",
            },
        },
        "far": {"hf_hub_url": "someone/rows"},
    }  # fmt: skip
    chat = [
        {
            "talk": [
                {"wer": "regel", "satz": "短。"},
                {"wer": "kunde", "satz": "周末呢？"},
                {"wer": "haus", "satz": "休息。"},
            ]
        }
    ]
    folder = folder_of(tmp_path, entries, mine=[{"ask": "几点开门？", "reply": "九点。", "who": "前台"}], chat=chat)
    corpus, tally = load(folder)
    assert [texts(c) for c in corpus.train] == [
        [("s", "短。"), ("u", "周末呢？"), ("a", "休息。")],
        [("s", "前台"), *ASKED],
    ]
    assert not tally.counts
    assert [columns.file for columns in corpus.columns] == ["chat.json", "mine.json"]
    # A file on its own is described too, and `subset` picks one entry.
    assert texts(load(folder / "mine.json")[0].train[0])[0] == ("s", "前台")
    assert len(load(folder, subset="chat")[0].train) == 1


def test_preference_and_kto_entries_are_read_as_such(tmp_path: Path) -> None:
    entries = {
        "old": {"file_name": "old.json", "ranking": True},
        "kto": {"file_name": "kto.json", "columns": {"prompt": "q", "response": "a", "kto_tag": "fine"}},
    }
    kto = [{"q": "退货吗？", "a": "滚。", "fine": False}, {"q": "退货呢？", "a": "可以。", "fine": True}]
    folder = folder_of(
        tmp_path, entries, old=[{"instruction": "几点开门？", "input": "", "output": ["九点。", "滚。"]}], kto=kto
    )
    corpus, tally = load(folder)
    assert [texts(c) for c in corpus.train] == [[("u", "退货呢？"), ("a", "可以。")], ASKED]
    assert (tally.counts["marked_bad"], tally.counts["preference"]) == (1, 1)


def test_an_export_of_easy_dataset_holds_each_row_once(tmp_path: Path) -> None:
    entries = {
        "[Easy Dataset] [p1] Alpaca": {
            "file_name": "alpaca.json",
            "columns": {"prompt": "instruction", "query": "input", "response": "output", "system": "system"},
        },
        "[Easy Dataset] [p1] ShareGPT": {
            "file_name": "sharegpt.json",
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
        },
    }
    messages = [{"role": "user", "content": "几点开门？"}, {"role": "assistant", "content": "九点。"}]
    folder = folder_of(
        tmp_path,
        entries,
        alpaca=[{"instruction": "几点开门？", "input": "", "output": "九点。", "system": ""}],
        sharegpt=[{"messages": [{"role": "system", "content": ""}, *messages]}],
    )
    corpus, tally = load(folder)
    assert [texts(c) for c in corpus.train] == [ASKED]
    assert tally.places["duplicate"] == ["sharegpt.json:1"]


@pytest.mark.parametrize(
    ("subset", "message", "next_step"),
    [("chta", "no entry 'chta'; it has chat, far", "subset: chat"), ("far", "is not here: no file_name", "hub id")],
)
def test_a_subset_that_is_not_there_is_named(tmp_path: Path, subset: str, message: str, next_step: str) -> None:
    entries = {"chat": {"file_name": "chat.json"}, "far": {"hf_hub_url": "someone/rows"}}
    folder = folder_of(tmp_path, entries, chat=[{"instruction": "几点开门？", "output": "九点。"}])
    with pytest.raises(DataError, match=message) as error:
        load(folder, subset=subset)
    assert next_step in error.value.next_step


def test_a_broken_description_names_its_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {}, rows=[{"instruction": "几点开门？", "output": "九点。"}])
    (folder / "dataset_info.json").write_text('{\n "a": {,}\n}', encoding="utf-8")
    with pytest.raises(DataError, match=r"dataset_info.json:2: not valid JSON"):
        load(folder)


def test_a_description_in_a_folder_above_is_part_of_what_the_rows_depend_on(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "rows.json").write_text("[]", encoding="utf-8")
    source = SourceConfig.model_validate({"path": str(tmp_path / "shop")})
    found = []
    for column in ("good", "bad"):
        entry = {"file_name": "shop", "columns": {"response": column}}
        (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}), encoding="utf-8")
        found.append(fingerprint(source, hub="huggingface", offline=True))
    assert found[0] != found[1]


@pytest.mark.parametrize("entry", [{"columns": ["ask"]}, {"tags": "x"}, {"columns": 5}])
def test_a_description_of_another_type_is_named(tmp_path: Path, entry: dict[str, Any]) -> None:
    folder = folder_of(tmp_path, {"mine": {"file_name": "mine.json", **entry}}, mine=[{"ask": "问", "reply": "答"}])
    with pytest.raises(DataError, match=r"columns and tags of 'mine' are no objects"):
        load(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_a_description_that_somebody_else_laid_into_a_shared_folder_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"mine": {"file_name": "mine.json"}}, mine=[{"question": "问", "answer": "答"}])
    os.chown(folder / "dataset_info.json", 4711, -1)
    with pytest.raises(DataError, match="is neither yours nor that of who owns the folder"):
        load(folder)
    os.chown(folder, 4711, -1)
    assert len(load(folder)[0].train) == 1


def test_a_file_that_two_entries_describe_is_asked_about(tmp_path: Path) -> None:
    entries = {
        "zh": {"file_name": "rows.json", "columns": {"prompt": "问句", "response": "答句"}},
        "en": {"file_name": "rows.json", "columns": {"prompt": "ask", "response": "reply"}},
    }
    folder = folder_of(
        tmp_path, entries, rows=[{"问句": "几点开门？", "答句": "九点。", "ask": "When?", "reply": "At nine."}]
    )
    with pytest.raises(DataError, match="as 'zh' and, otherwise, as 'en'") as error:
        load(folder)
    assert "subset: zh" in error.value.next_step
    ignored = {"data": {"ignore_columns": ["问句", "答句"]}}
    recipe = {"name": "t", "model": "m", "data": {"sources": [{"path": str(folder), "subset": "en"}], "eval_split": 0}}
    recipe["data"] |= ignored["data"]
    corpus = gather(validate(recipe, tmp_path / "t.yaml"), Tally())
    assert texts(corpus.train[0]) == [("u", "When?"), ("a", "At nine.")]


def test_a_part_of_the_rows_that_an_entry_takes_is_said(tmp_path: Path) -> None:
    rows = [{"instruction": f"问{n}？", "output": f"答{n}。"} for n in range(9)]
    folder = folder_of(tmp_path, {"mine": {"file_name": "rows.json", "num_samples": 4}}, rows=rows)
    with pytest.raises(DataError, match="num_samples of 'mine'") as error:
        load(folder)
    assert f"path: {folder}#4, subset: mine" in error.value.next_step
    assert len(load(Path(f"{folder}#4"), subset="mine")[0].train) == 4

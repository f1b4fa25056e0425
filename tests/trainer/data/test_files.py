"""A folder or pattern gives every data file in it, or says which one it cannot give."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from configs.errors import DataError
from trainer.data.files import find_files

ROW = json.dumps({"instruction": "问", "output": "答"}, ensure_ascii=False) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds one good file, and stands beside another that nobody named."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.jsonl").write_text(ROW, encoding="utf-8")
    data = tmp_path / "data"
    data.mkdir()
    (data / "good.jsonl").write_text(ROW, encoding="utf-8")
    return data


def names(path: Path | str) -> list[str]:
    return [file.name for file in find_files(str(path))]


def test_folders_are_found_in_order_and_hidden_files_are_none(folder: Path) -> None:
    for name in ("b", "a", ".ipynb_checkpoints"):
        (folder / name).mkdir()
        (folder / name / "rows.jsonl").write_text(ROW, encoding="utf-8")
    (folder / "._good.jsonl").write_bytes(b"\0\5\x16\7")
    assert [file.parent.name for file in find_files(str(folder))] == ["a", "b", "data"]
    assert names(folder / "**" / "*.jsonl") == ["rows.jsonl", "rows.jsonl", "good.jsonl"]
    assert names(folder / "*" / "*.jsonl") == ["rows.jsonl", "rows.jsonl"]
    assert names(folder / "g*[a-e].jsonl") == ["good.jsonl"]
    assert names(folder / ".ipynb*" / "*.jsonl") == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda f: f.symlink_to("nowhere"), "a link to nothing, a pipe or a device"),
        (lambda f: f.symlink_to(f.name), "a link to nothing, a pipe or a device"),
        (lambda f: f.symlink_to("/dev/zero"), "a link that leads out of"),
        (lambda f: f.symlink_to("../elsewhere/other.jsonl"), "a link that leads out of"),
        (lambda f: os.mkfifo(f), "a link to nothing, a pipe or a device"),
        (lambda f: os.truncate(f, 1 << 40) if f.touch() is None else None, "at most 16 GB are read"),
    ],
)
@pytest.mark.parametrize("path", ["", "*.jsonl", "**/*.jsonl"])
def test_a_file_that_would_be_missing_or_lies_elsewhere_is_refused(
    folder: Path, plant: Callable[[Path], None], said: str, path: str
) -> None:
    plant(folder / "rows.jsonl")
    with pytest.raises(DataError, match=rf"rows\.jsonl: .*{said}"):
        find_files(str(folder / path))


@pytest.mark.parametrize("ending", ["jsonl.gz", "xlsx", "arrow", "ndjson", "feather", "7z", "tar.gz"])
def test_a_table_that_is_not_read_is_refused_unless_it_stands_beside_one_that_is(folder: Path, ending: str) -> None:
    (folder / f"rows.{ending}").write_bytes(b"PK")
    with pytest.raises(DataError, match=f"rows.{ending}: files of type") as error:
        find_files(str(folder))
    assert "take it out of the folder" in error.value.next_step
    assert names(folder / "*.jsonl") == ["good.jsonl"]
    (folder / "rows.csv").write_text("a,b\n", encoding="utf-8")
    assert names(folder) == ["good.jsonl", "rows.csv"]
    (folder / f"rows.2.{ending}").write_bytes(b"PK")  # another part of it
    with pytest.raises(DataError, match=r"rows\.2\..*: files of type"):
        find_files(str(folder))


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (["b.jsonl.part"], r"b\.jsonl\.part: a download that has not ended"),
        (["B.JSONL.CRDOWNLOAD"], "a download that has not ended"),
        (["train-00000-of-00003.jsonl", "train-00002-of-00003.jsonl"], "data: 1 of the 3 parts of train are missing"),
        (["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "notes.part"], None),
    ],
)
def test_a_folder_whose_download_broke_off_is_refused(folder: Path, left: list[str], said: str | None) -> None:
    for name in left:
        (folder / name).write_text(ROW, encoding="utf-8")
    with nullcontext() if said is None else pytest.raises(DataError, match=said):
        assert names(folder) == ["good.jsonl", *left[:2]]
    assert "good.jsonl" in names(folder / "*.jsonl")


def test_links_to_folders_are_refused_and_those_in_circles_end(folder: Path) -> None:
    (folder / "one").symlink_to(".")
    (folder / "two").symlink_to(".")
    for path in (folder, folder / "**" / "*.jsonl", folder / "*" / "good.jsonl"):
        with pytest.raises(DataError, match="one: a link to a folder, which is not followed"):
            find_files(str(path))
    assert names(folder / "*.jsonl") == ["good.jsonl"]


def test_links_inside_the_folder_and_those_of_the_hub_cache_are_followed(folder: Path) -> None:
    (folder / "again.jsonl").symlink_to("good.jsonl")
    assert names(folder) == ["again.jsonl", "good.jsonl"]
    snapshot = folder.parent / "cache" / "snapshots" / "1a2b"
    (snapshot / "data").mkdir(parents=True)
    (snapshot.parents[1] / "blobs").mkdir()
    (snapshot.parents[1] / "blobs" / "ffff").write_text(ROW, encoding="utf-8")
    (snapshot / "data" / "rows.jsonl").symlink_to("../../../blobs/ffff")
    assert names(snapshot) == names(snapshot / "data") == ["rows.jsonl"]


def test_a_file_whose_name_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / os.fsdecode("训练.jsonl".encode("gbk"))).write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="is not UTF-8"):
        find_files(str(folder))


@pytest.mark.skipif(os.getuid() == 0, reason="root may open every folder")
def test_a_closed_folder_is_refused(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0)
    with pytest.raises(DataError, match="closed: a folder that cannot be opened"):
        find_files(str(folder))

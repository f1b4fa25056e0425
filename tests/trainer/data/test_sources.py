"""Files of every kind are read row by row; what cannot be read is named by file and row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from configs.recipe.schema import SourceConfig
from configs.tables import BadRow, RawRow
from trainer.data.sources import read_source, split_count

ROWS = [{"instruction": f"第{i}问", "output": f"第{i}答"} for i in range(20)]


def read(path: Path | str, **options: object) -> list[RawRow | BadRow]:
    source = SourceConfig.model_validate({"path": str(path), **options})
    return read_source(source, seed=1, hub="huggingface", offline=True)


def values(rows: list[RawRow | BadRow]) -> list[dict[str, object]]:
    return [row.value for row in rows if isinstance(row, RawRow)]


def write(folder: Path, kind: str) -> Path:
    file = folder / f"rows.{kind}"
    if kind == "json":
        file.write_text(json.dumps(ROWS, ensure_ascii=False), encoding="utf-8")
    elif kind == "jsonl":
        file.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS), encoding="utf-8")
    elif kind == "csv":
        lines = ["instruction,output", *(f"{r['instruction']},{r['output']}" for r in ROWS)]
        file.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")  # as Excel saves it
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    return file


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    rows = read(write(tmp_path, kind))
    assert values(rows) == ROWS
    assert len({row.place for row in rows}) == len(ROWS)


def test_folders_and_globs_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "jsonl")
    (tmp_path / "notes.txt").write_text("no data", encoding="utf-8")
    # Two files of one name are told apart.
    assert [row.place for row in read(tmp_path)][::20] == ["a/rows.jsonl:1", "b/rows.jsonl:1"]
    assert len(read(tmp_path)) == len(read(str(tmp_path / "*" / "*.jsonl"))) == 40


def test_a_sample_is_seeded_and_keeps_the_order(tmp_path: Path) -> None:
    file = write(tmp_path, "jsonl")
    some = read(f"{file}#5")
    assert some == read(f"{file}#5")
    assert len(some) == 5
    assert [r.place for r in some] == sorted((r.place for r in some), key=lambda p: int(p.rpartition(":")[2]))
    assert len(read(f"{file}#500")) == 20
    assert split_count("a#b.jsonl") == ("a#b.jsonl", None, False)


def test_the_first_rows_of_a_file_or_folder(tmp_path: Path) -> None:
    file = write(tmp_path, "jsonl")
    write(tmp_path, "csv")
    assert values(read(f"{file}#:3")) == ROWS[:3]
    assert [r.place for r in read(f"{tmp_path}#:21")][-2:] == ["rows.csv:21", "rows.jsonl:1"]


@pytest.mark.parametrize("part", [{"split": "train[:3]"}, {"subset": "zh"}])
def test_a_part_that_files_do_not_have_is_refused(tmp_path: Path, part: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"split: .* is for data sets of a hub|subset: zh picks nothing"):
        read(write(tmp_path, "jsonl"), **part)


@pytest.mark.parametrize(
    "names", [("train", "test"), ("训练集", "验证集"), ("train_test", "test"), ("train", "latest"), ("train", "a")]
)
def test_a_folder_with_what_is_kept_to_test_by_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write(tmp_path, "csv").rename(tmp_path / f"{name}.csv")
    if names[1] in ("latest", "a"):
        assert len(read(tmp_path)) == 40
        return
    with pytest.raises(DataError, match=rf"kept to test by: [^,]*/{names[1]}\.csv\n"):
        read(tmp_path)
    assert len(read(f"{tmp_path}/**")) == 40
    entry = {"mine": {"file_name": f"{names[0]}.csv"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(entry), encoding="utf-8")
    assert len(read(tmp_path, subset="mine")) == 20


def test_rows_that_cannot_be_read_are_named_and_do_not_stop_the_reading(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = json.dumps(ROWS[0], ensure_ascii=False).encode()
    file.write_bytes(b"\n".join([good, "中文".encode("gb18030"), b"{half", b"[1]", b"", good, b"9" * 5000]))
    rows = read(file)
    bad = [r for r in rows if isinstance(r, BadRow)]
    assert bad == [
        BadRow("rows.jsonl:2", "not_utf8"),
        BadRow("rows.jsonl:3", "not_json", "Expecting property name enclosed in double quotes (column 2)"),
        BadRow("rows.jsonl:4", "not_an_object", "list [1]"),
        BadRow("rows.jsonl:7", "not_json", bad[-1].found),
    ]
    assert "5000 digits" in bad[-1].found
    assert [r.place for r in rows if isinstance(r, RawRow)] == ["rows.jsonl:1", "rows.jsonl:6"]


def test_a_csv_row_with_a_missing_cell_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("instruction,output\n一,二\n三\n四,五,六\n", encoding="utf-8")
    bad = [r for r in read(file) if isinstance(r, BadRow)]
    assert bad == [
        BadRow("rows.csv:3", "wrong_number_of_columns", "1 cells"),
        BadRow("rows.csv:4", "wrong_number_of_columns", "3 cells"),
    ]


def test_a_file_in_another_encoding_says_how_to_convert_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("instruction,output\n问,答\n".encode("gb18030"))
    with pytest.raises(DataError, match=r"rows.csv:2: not UTF-8 but by the look of it GB18030, like 1 of 2") as error:
        read(file)
    assert "iconv -f GB18030 -t UTF-8" in error.value.next_step
    (tmp_path / "rows.json").write_bytes('[{"prompt": "问"}]'.encode("utf-16"))
    with pytest.raises(DataError, match=r"rows.json:1: not UTF-8") as error:
        read(tmp_path / "rows.json")
    assert "iconv -f UTF-16 -t UTF-8" in error.value.next_step


def test_a_csv_cell_may_be_longer_than_the_readers_limit(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("instruction,output\n一," + "长" * 140_000, encoding="utf-8")
    assert len(str(values(read(file))[0]["output"])) == 140_000


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere/rows.jsonl", "no such file or folder"),
        ("missing.jsonl", "no such file or folder"),
        ("nobody/no-such-data", "not in the local cache"),
    ],
)
def test_a_missing_source_is_named(path: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(path)


def test_an_empty_file_an_unread_type_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "rows.xlsx").write_bytes(b"x")
    (tmp_path / "none").mkdir()
    for path, message in (("empty.jsonl", "no rows"), ("rows.xlsx", "xlsx are not read"), ("none", "no data file")):
        with pytest.raises(DataError, match=message):
            read(tmp_path / path)


def test_json_that_is_broken_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[\n{"instruction": "一"},\n{"instruction" "二"}\n]', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows.json:3: not valid JSON"):
        read(file)

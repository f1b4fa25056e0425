"""Rows of files of every kind; what needs every row hears which one cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from configs.tables import TABLES, BadRow, iterate_rows, read_json, read_rows

ROWS = [{"question": f"第{i}问", "answer": f"a\u2028{i}"} for i in range(3)]


def write(folder: Path, ending: str) -> Path:
    file = folder / f"rows{ending}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    elif ending == ".json":
        file.write_text(json.dumps({"version": "v1", "data": ROWS, "notes": [{"a": 1}]}), encoding="utf-8")
    elif ending == ".jsonl":
        file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    else:
        comma = "\t" if ending == ".tsv" else ","
        lines = [f"question{comma}answer", *(comma.join(row.values()) for row in ROWS)]
        file.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")  # as Excel saves it
    return file


@pytest.mark.parametrize("ending", TABLES)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, ending: str) -> None:
    assert read_rows(write(tmp_path, ending)) == ROWS


@pytest.mark.parametrize("ending", [ending for ending in TABLES if ending != ".parquet"])
def test_a_file_of_another_encoding_is_named_with_the_line(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"rows{ending}"
    file.write_bytes("question,answer\n你好,好".encode("gb18030"))
    with pytest.raises(DataError, match=rf"rows\{ending}:[12]"):
        read_rows(file)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("rows.jsonl", '{"a": 1}\n\n{"a": 1,}\n', "rows.jsonl:3: the line is not JSON"),
        ("rows.jsonl", '{"a": 1}\n[1]\n', "rows.jsonl:2: the row is neither a mapping of columns"),
        ("rows.csv", "a,b\n1,2\n1,2,3\n", "rows.csv:3: the CSV row has more or fewer cells"),
        ("rows.json", '[{"a": 1},\n 7]', "rows.json:2: the row is neither a mapping of columns"),
        ("rows.json", '[{"a": 1},\n {"a": 1,}]', "rows.json:2: not valid JSON"),
        ("rows.json", "7", "rows.json: expected a list of rows, found int"),
        ("rows.parquet", "no table", "rows.parquet: not a Parquet file"),
        ("rows.xlsx", "", "rows.xlsx: files of type .xlsx are not read"),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, name: str, text: str, place: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_rows(tmp_path / name)
    assert place in str(error.value)


def test_bad_rows_do_not_stop_the_reading_of_the_good_ones(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"a": 1}\n\xff\n{"a": 2}\n')
    first, bad, last = iterate_rows(file)
    assert bad == BadRow("rows.jsonl:2", "not_utf8")
    assert (first.place, last.place) == ("rows.jsonl:1", "rows.jsonl:3")


def test_a_json_file_is_a_value_or_one_object_a_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('{"data": {"a": 1}}', encoding="utf-8")
    assert read_json(file) == {"data": {"a": 1}}
    file.write_text('{"a": 1}\n{"a": 2}\n', encoding="utf-8")
    assert read_json(file) == read_rows(file) == [{"a": 1}, {"a": 2}]
    file.write_text('{"a": 1}\n{"a": }\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows\.json:2: the line is not JSON"):
        read_json(file)

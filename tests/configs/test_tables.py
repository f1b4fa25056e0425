"""Rows of files of every kind; what needs every row hears which one cannot be read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from configs.tables import TABLES, BadRow, RawRow, iterate_rows, read_json, read_rows
from configs.tables.cells import unpacked

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


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_a_key_with_two_values_is_not_decided_by_the_order(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"rows{ending}"
    twice = '{"question": "a", "answer": "one", "answer": "two"}'
    file.write_text(f'{{"question": "b", "answer": "x", "answer": "x"}}\n{twice}\n', encoding="utf-8")
    good, bad = iterate_rows(file)
    assert isinstance(good, RawRow)
    assert good.value == {"question": "b", "answer": "x"}
    assert isinstance(bad, BadRow)
    assert (bad.place, bad.found) == (f"rows{ending}:2", "the key 'answer' stands twice, with two values")
    file.write_text(f"[{twice}]", encoding="utf-8")
    with pytest.raises(DataError, match="the key 'answer' stands twice"):
        list(iterate_rows(file))


def test_a_json_file_is_a_value_or_one_object_a_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('{"data": {"a": 1}}', encoding="utf-8")
    assert read_json(file) == {"data": {"a": 1}}
    file.write_text('{"a": 1}\n{"a": 2}\n', encoding="utf-8")
    assert read_json(file) == read_rows(file) == [{"a": 1}, {"a": 2}]
    file.write_text('{"a": 1}\n{"a": }\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows\.json:2: the line is not JSON"):
        read_json(file)


SHAPES = {
    "array in .jsonl": ("rows.jsonl", json.dumps(ROWS)),
    "pretty array in .jsonl": ("rows.jsonl", json.dumps(ROWS, indent=2)),
    "objects over several lines": ("rows.json", "\n".join(json.dumps(row, indent=1) for row in ROWS)),
    "objects over several lines in .jsonl": ("rows.jsonl", "\n".join(json.dumps(row, indent=1) for row in ROWS)),
    "objects without a line between": ("rows.json", "".join(map(json.dumps, ROWS))),
    "commas after the lines": ("rows.jsonl", ",\n".join(map(json.dumps, ROWS)) + ",\n"),
    "JSON lines in .json": ("rows.json", "\n".join(map(json.dumps, ROWS))),
    "under a key": ("rows.json", json.dumps({"rows": ROWS, "version": 1})),
    "by id": ("rows.json", json.dumps({f"a:{i}": row for i, row in enumerate(ROWS)})),
    "pandas columns": (
        "rows.json", json.dumps({name: {str(i): row[name] for i, row in enumerate(ROWS)} for name in ROWS[0]})
    ),
    "pandas split": (
        "rows.json",
        json.dumps({"columns": list(ROWS[0]), "index": [0, 1, 2], "data": [list(row.values()) for row in ROWS]}),
    ),
    "pandas list": ("rows.json", json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]})),
    "old Mac line ends": ("rows.jsonl", "\r".join(map(json.dumps, ROWS))),
    "Windows line ends and a mark": ("rows.jsonl", "\ufeff" + "\r\n\r\n".join(map(json.dumps, ROWS))),
    "empty rows of Excel": (
        "rows.csv",
        "question,answer,\n" + "".join(",".join(row.values()) + ",\n" for row in ROWS) + ",,\n , ,\n,,,,\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_found_however_the_file_lays_them_out(tmp_path: Path, shape: str) -> None:
    name, text = SHAPES[shape]
    (tmp_path / name).write_bytes(text.encode())
    rows = [{k: v for k, v in row.items() if v} for row in read_rows(tmp_path / name)]
    assert rows == ROWS


def test_columns_without_a_name_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer,, \n1,2,one,two\n", encoding="utf-8")
    assert read_rows(tmp_path / "a.csv") == [{"question": "1", "answer": "2", "column 3": "one", "column 4": "two"}]


def test_a_line_that_is_a_list_of_messages_is_a_row(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]
    for name, text in (("a.jsonl", f"{json.dumps(talk)}\n{json.dumps(talk)}"), ("a.json", json.dumps([talk, talk]))):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert read_rows(tmp_path / name) == [{"messages": talk}] * 2
    (tmp_path / "one.json").write_text(json.dumps(talk), encoding="utf-8")
    assert read_rows(tmp_path / "one.json") == [{"messages": talk}]


@pytest.mark.parametrize(
    ("name", "content", "message", "next_step"),
    [
        ("a.jsonl", '{"q": "问"}\n'.encode("gb18030"), "a.jsonl:1: not UTF-8 but by the look of it GB18030", "iconv"),
        ("a.jsonl", '{"q": 1}\n'.encode("utf-16"), "a.jsonl:1: not UTF-8 but by the look of it UTF-16", "UTF-16"),
        ("a.json", '[{"q": 1}]'.encode("utf-16-le"), "not UTF-8 but by the look of it UTF-16", "UTF-16"),
        ("a;b.csv", "question,answer\n問,答\n".encode("big5"), "a;b.csv:2: not UTF-8", "8 '{}/a;b.csv' > '{}/utf8-"),
        ("a.json", b"PK\x03\x04rest", "an Excel workbook or another zip file", "save the sheet as CSV"),
        ("a.jsonl", b"\x1f\x8brest", "compressed with gzip", "gzip -d"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"),
        ("a.json", b"<!DOCTYPE html>", "a web page", "download the file itself"),
        ("a.json", b"[1\0\0\0]", "no text", "a kind that is read"),
        ("a.json", b"{'question': 'a'}", "a.json:1: not valid JSON: single quotes", "mend that line"),
        ("a.jsonl", b"{'question': 'a'}\n{'question': 'b'}", "a.jsonl:1: not valid JSON: single quotes", "mend"),
        ("a.json", b'[\n{"a": 1},\n]', "a.json:3: not valid JSON", "mend that line"),
        ("a.json", b"[" * 100_000, "a.json:1: not valid JSON", "mend"),
        ("a.json", b"[" + b"9" * 5000 + b"]", "a.json:1: not valid JSON", "mend"),
        ("a.json", json.dumps({"train": ROWS, "test": ROWS[:1]}).encode(), "train (3 rows), test (1", "split: train"),
        ("a.json", b'{"question": ["a", "b"], "answer": ["c"]}', "of different lengths: question 2", "one object"),
        ("a.csv", b"question,answer,answer\n1,2,3\n", "a.csv:1: two columns are called 'answer'", "a name of its own"),
        ("a.jsonl.gz", b"", "files of type .gz are not read", "unpack it first"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_what_it_is_and_what_to_do(
    tmp_path: Path, name: str, content: bytes, message: str, next_step: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_rows(tmp_path / name)
    assert message in error.value.message
    assert next_step.replace("{}", str(tmp_path)) in error.value.next_step


def test_parquet_is_read_without_the_padding_of_arrow(tmp_path: Path) -> None:
    calls = [{"name": "a", "arguments": {"sku": "x"}}, {"name": "b", "arguments": {"city": "y"}}]
    rows = [{"calls": [calls[0]], "n": 3.0, "f": None}, {"calls": [calls[1]], "n": None, "f": None}, {"calls": None}]
    schema_of_f = pa.schema([*pa.Table.from_pylist(rows).drop(["f"]).schema, pa.field("f", pa.float32())])
    pq.write_table(pa.Table.from_pylist([{**rows[0], "f": 0.1}, *rows[1:]], schema=schema_of_f), tmp_path / "a.parquet")
    first, second = read_rows(tmp_path / "a.parquet")
    assert first["calls"] == [calls[0]]
    assert second["calls"] == [calls[1]]
    # A column with gaps made floats of whole numbers, and 32 bits hold seven digits.
    assert (first["n"], type(first["n"]), first["f"]) == (3, int, 0.1)


def test_what_a_parquet_file_holds_as_json_is_what_it_says(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "问"}, {"role": "assistant", "content": "", "tool_calls": []}]
    texts = pa.ExtensionArray.from_storage(pa.json_(), pa.array(map(json.dumps, turns)))
    cells = pa.StructArray.from_arrays([pa.ListArray.from_arrays([0, 2], texts), texts[:1]], ["turns", "first"])
    pq.write_table(pa.table({"cell": cells}), tmp_path / "a.parquet")
    assert read_rows(tmp_path / "a.parquet") == [{"cell": {"turns": turns, "first": turns[0]}}]


def nested(levels: int, kind: type) -> Any:
    """A value with this many lists, or objects, in each other."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_a_row_that_is_nested_deeper_than_anyone_can_write_is_named(tmp_path: Path, ending: str, kind: type) -> None:
    rows = [{"question": "问", "answer": nested(levels, kind)} for levels in (1, 90, 100, 300, 900)]
    (tmp_path / f"rows{ending}").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    read = list(iterate_rows(tmp_path / f"rows{ending}"))
    assert [isinstance(row, BadRow) and row.reason == "too_deep" for row in read] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("cell", "held"),
    [
        ("[('问', '答')]", [["问", "答"]]),
        ("{'a': None, 'b': True}", {"a": None, "b": True}),
        ("{1: 2}", {"1": 2}),
        ("{(1, 2): 3}", None),
        ("[b'bytes']", None),
        ("[{1, 2}]", None),
        ("[..., 3j]", None),
        ("[" * 150 + "]" * 150, None),
        ("{'a': " + "'x'" * 500_000 + "}", None),
    ],
)
def test_a_cell_that_python_wrote_is_a_list_or_object_where_json_could_hold_it(cell: str, held: Any) -> None:
    assert unpacked(cell) == (cell if held is None else held)


def test_a_file_of_rows_that_is_none_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match="a folder, a link, a pipe or a device stands in the place of a file"):
        read_rows(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    "row",
    ['第一问,"第一答\n', '"第一问,第一答\n', '第一问,"第一"答\n', '第一问,"他说"好"。"\n'],
)
def test_a_quote_that_would_take_the_rows_after_it_for_one_cell_is_an_error(tmp_path: Path, row: str) -> None:
    rest = "".join(f'"第{i}问","第{i}答"\n' for i in range(20))
    (tmp_path / "rows.csv").write_text(f'question,answer\n问,"答\n答"\n{row}{rest}', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows.csv: the row that begins in line 4 is not valid CSV") as error:
        read_rows(tmp_path / "rows.csv")
    assert 'a quote inside it as ""' in error.value.next_step


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([2**30], pa.date32()),
        pa.array([2**62], pa.duration("s")),
        pa.array([0], pa.timestamp("us", "Nowhere/Zone")),
        pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]),
    ],
)
def test_a_parquet_cell_that_python_cannot_hold_names_the_file(tmp_path: Path, cells: pa.Array) -> None:
    pq.write_table(pa.table({"question": ["问"], "answer": cells}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet: not a Parquet file that can be read"):
        read_rows(tmp_path / "rows.parquet")


def test_a_changed_byte_of_a_parquet_page_with_a_checksum_is_found(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    table = pa.table({"question": ["what is asked here"], "answer": ["nineteen"]})
    pq.write_table(table, file, compression="none", use_dictionary=False, write_page_checksum=True)
    data = file.read_bytes()
    file.write_bytes(data.replace(b"nineteen", b"ninetoen"))
    with pytest.raises(DataError, match=r"rows.parquet: not a Parquet file that can be read"):
        read_rows(file)


def test_rows_beside_the_data_of_an_object_are_asked_about(tmp_path: Path) -> None:
    rows = [{"question": "几点？", "answer": "九点。"}]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"version": 1, "data": rows, "more": rows * 2}), encoding="utf-8")
    with pytest.raises(DataError, match=r"several lists of rows: data \(1 rows\), more \(2 rows\)"):
        read_rows(file)
    file.write_text(json.dumps({"version": 1, "data": rows, "tags": ["a"]}), encoding="utf-8")
    assert read_rows(file) == rows

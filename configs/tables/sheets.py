"""CSV, TSV and Parquet files as rows."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.disk.files import parse_json
from configs.errors import DataError, first_line
from configs.tables.file_bytes import refuse_disguise, whole_text
from configs.tables.raw import BadRow, RawRow, Wanted, is_blank, raw_row

_MOST_ROWS = 50_000_000
"""Of a Parquet file: a few bytes may stand for any number of empty rows."""


def rows_of_csv(file: Path, wanted: Wanted) -> Iterator[RawRow | BadRow]:
    """Rows of a CSV or TSV file with a header; rows without any text, as Excel leaves them behind, are none.

    Raises:
        DataError: two columns have one name, there is one that holds several, or the file is no CSV.
    """
    # The reader stops at 131,072 characters otherwise, which a long document has.
    csv.field_size_limit(sys.maxsize)
    dialect = "excel-tab" if file.suffix.lower() == ".tsv" else "excel"
    # Where a quote is not closed as it should be, a lenient reader takes row after row for one cell.
    lines = io.StringIO(whole_text(file), newline="")
    reader = csv.DictReader(lines, restkey="", dialect=dialect, strict=True)
    number, read = 1, 0  # the header's row; lines of rows that are whole
    try:
        named = reader.fieldnames or ()
        reader.fieldnames = [name if name.strip() else f"column {n}" for n, name in enumerate(named, 1)]
        if len(named) == 1 and (sign := next((s for s in (";", "\t", "|", ",") if s in named[0]), None)):
            raise DataError(
                f"{file}: the columns are {named[0]}",
                f"the cells look separated by {sign!r}: save the file as CSV with commas",
            )
        twice = [name for name, count in Counter(reader.fieldnames).items() if count > 1]
        if twice:
            raise DataError(f"{file}:1: two columns are called {twice[0]!r}", "give each column a name of its own")
        for number, value in enumerate(reader, 2):
            read = reader.line_num
            place = f"{wanted.name}:{number}"
            # Cells beyond the header are a list, those that the row lacks are None.
            cells = [c for cell in value.values() for c in (cell if isinstance(cell, list) else [cell])]
            if all(map(is_blank, cells)):
                continue
            extra = value.pop("") if isinstance(value.get(""), list) else []
            if not all(map(is_blank, extra)) or None in value.values():
                yield BadRow(place, "wrong_number_of_columns", f"{sum(c is not None for c in cells)} cells")
            else:
                yield RawRow(place, value)
    except csv.Error as error:
        raise DataError(
            f"{file}: the row that begins in line {read + 1} is not valid CSV: {error}",
            'close every cell that begins with a quote, and write a quote inside it as ""',
        ) from error


def rows_of_parquet(file: Path, wanted: Wanted) -> Iterator[RawRow | BadRow]:
    """Rows of a Parquet file.

    Raises:
        DataError: it is none, is damaged, or two columns have one name.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{file}: reading Parquet needs pyarrow", "pip install pyarrow") from error

    refuse_disguise(file)
    number = 0
    try:
        table = pyarrow.parquet.ParquetFile(file, page_checksum_verification=True)
        if (rows := table.metadata.num_rows) > _MOST_ROWS:
            raise DataError(f"{file}: {rows:,} rows, at most {_MOST_ROWS:,} are read", "split it")
        twice = [name for name, count in Counter(table.schema_arrow.names).items() if count > 1]
        if twice:
            raise DataError(f"{file}: two columns are called {twice[0]!r}", "give each column a name of its own")
        single = {f.name for f in table.schema_arrow if pyarrow.types.is_float32(f.type)}
        as_json = {f.name: f.type for f in table.schema_arrow if "arrow.json" in str(f.type)}
        for batch in table.iter_batches():
            for value in batch.to_pylist():
                number += 1
                value |= {name: _read_as(value[name], kind) for name, kind in as_json.items()}
                if not all(map(is_blank, value.values())):
                    yield raw_row(f"{wanted.name}:{number}", without_padding(value, single))
    # Dates and durations beyond Python's, text that is not UTF-8 and time zones that do not exist are found only now.
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        where = f"{file}:{number + 1}" if number else str(file)
        raise DataError(
            f"{where}: not a Parquet file that can be read: {first_line(error)}", "write it again"
        ) from error


def _read_as(value: Any, kind: Any) -> Any:
    """What a cell of this Arrow type says: `datasets` keeps messages that differ in their keys as JSON each."""
    if value is None:
        return None
    if getattr(kind, "extension_name", "") == "arrow.json":
        return parse_json(value)
    if isinstance(value, dict):
        return {name: _read_as(one, kind.field(name).type) for name, one in value.items()}
    if isinstance(value, list) and hasattr(kind, "value_type"):
        return [_read_as(one, kind.value_type) for one in value]
    return value


def without_padding(value: dict[str, Any], single: set[str] = frozenset()) -> dict[str, Any]:  # type: ignore[assignment]
    """The row without the null members that Arrow gives the objects of a column so that all have one shape.

    Whole numbers that a column with gaps made floats of become whole again; `single` names columns of 32-bit floats,
    whose digits beyond the seventh are noise.
    """
    return {k: _unpadded(v, k in single) if isinstance(v, list | dict | float) else v for k, v in value.items()}


def _unpadded(value: Any, single: bool = False) -> Any:
    if isinstance(value, dict):
        return {k: _unpadded(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_unpadded(v, single) for v in value]
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1 << 53:
            return int(value)
        return float(f"{value:.7g}") if single else value
    return value

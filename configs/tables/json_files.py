"""JSON and JSONL files as rows, whichever of the two their name says.

Lines end at a line feed and nowhere else: U+2028 and U+0085 inside an answer are part of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.tables.columns import is_content_key, is_role_key
from configs.tables.file_bytes import opened, refuse_disguise, refuse_other_encoding, whole_text
from configs.tables.json_shapes import rows_of_object
from configs.tables.raw import BadRow, RawRow, Wanted, Written, raw_row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError where a key stands twice and nobody can know which of the two values is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next((key for key, value in pairs if found[key] != value), None)
        if twice is not None:
            raise ValueError(f"the key {twice!r} stands twice, with two values")
    return found


_decoder = json.JSONDecoder(parse_float=Written, object_pairs_hook=_object)


def rows_of_jsonl(file: Path, wanted: Wanted) -> Iterator[RawRow | BadRow]:
    """Rows of a file with one JSON value a line; also of one that holds an array or objects over several lines.

    Raises:
        DataError: not one row can be read; names the first line that cannot, or the encoding.
    """
    refuse_disguise(file)
    first, second = _first_lines(file)
    if _parsed(first) is None or (isinstance(_parsed(first), list) and second is None):
        try:
            rows = list(_whole_file(file, wanted))
        except DataError:
            # One bad line at the top of good ones costs only itself.
            if not any(isinstance(row, RawRow) for row in _lines(file, wanted)):
                raise
        else:
            yield from rows
            return
    yield from _lines(file, wanted)


def rows_of_json(file: Path, wanted: Wanted) -> Iterator[RawRow | BadRow]:
    """Rows of a file with one array or object; also of one that holds JSON lines.

    Raises:
        DataError: the file is not JSON, or an object in it is no row and holds none.
    """
    text = whole_text(file)
    if _holds_lines(text):
        yield from _lines(file, wanted)
        return
    yield from _rows_of_text(text, file, wanted)


def _lines(file: Path, wanted: Wanted) -> Iterator[RawRow | BadRow]:
    checked = False
    with opened(file) as handle:
        for number, line in enumerate(handle, 1):
            place = f"{wanted.name}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                if not checked:
                    refuse_other_encoding(file)
                    checked = True
                yield BadRow(place, "not_utf8")
                continue
            if not text.strip():
                continue
            try:
                value = _decoder.decode(text)
            # Beside broken JSON: numbers of thousands of digits, lists in lists without end.
            except (ValueError, RecursionError) as error:
                value = _parsed(text.rstrip().removesuffix(","))
                if value is None:
                    yield BadRow(place, "not_json", _said(error, text))
                    continue
            yield _row(value, place)


def _whole_file(file: Path, wanted: Wanted) -> Iterator[RawRow | BadRow]:
    yield from _rows_of_text(whole_text(file), file, wanted)


def _rows_of_text(text: str, file: Path, wanted: Wanted) -> Iterator[RawRow | BadRow]:
    values = list(_values(text, file))
    if len(values) > 1:
        for line, value in values:
            yield _row(value, f"{wanted.name}:{line}")
        return
    for _, value in values:
        if isinstance(value, dict):
            listed = rows_of_object(value, file, wanted)
        elif isinstance(value, list):
            listed = [value] if _is_conversation(value) else value
        else:
            raise DataError(f"{file}: expected a list of rows, found {type(value).__name__}", "wrap the rows in [ ]")
        for number, row in enumerate(listed, 1):
            yield _row(row, f"{wanted.name}:{number}")


def json_value(file: Path) -> Any:
    """What a JSON file holds as one value; None where it holds several, one a line or one after another.

    Raises:
        DataError: it is not JSON; the message names the line.
    """
    text = whole_text(file)
    values = [] if _holds_lines(text) else [value for _, value in _values(text, file)]
    return values[0] if len(values) == 1 else None


def _holds_lines(text: str) -> bool:
    """Whether a text is one JSON value a line: its first line is one, and there is more."""
    text = text.lstrip()
    first = text.partition("\n")[0]
    return _parsed(first) is not None and bool(text[len(first) :].strip())


def _values(text: str, file: Path) -> Iterator[tuple[int, Any]]:
    """(line, value) of the JSON values that follow each other in a text, commas between them or not."""
    position, line, seen = 0, 1, 0
    while True:
        while position < len(text) and (text[position].isspace() or (seen and text[position] == ",")):
            position += 1
        if position == len(text):
            return
        line += text.count("\n", seen, position)
        seen = position
        try:
            value, position = _decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{file}:{error.lineno}: not valid JSON: {_said(error, _line_at(text, error.lineno))}",
                "mend that line, or save one object a line as .jsonl",
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}:{line}: not valid JSON: {error}", "mend what begins on that line") from error
        yield line, value


def _row(value: Any, place: str) -> RawRow | BadRow:
    if isinstance(value, dict):
        return raw_row(place, value)
    if _is_conversation(value):
        return raw_row(place, {"messages": value})
    return BadRow(place, "not_an_object", f"{type(value).__name__} {json.dumps(value, ensure_ascii=False)[:40]}")


def _is_conversation(value: Any) -> bool:
    """Whether a list is the messages of one conversation rather than a list of rows."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and any(map(is_role_key, turn)) for turn in value)
        and any(any(map(is_content_key, turn)) for turn in value)
    )


def _first_lines(file: Path) -> tuple[str, str | None]:
    """The first two lines that are not empty, the second None where there is one only; bad bytes replaced."""
    found: list[str] = []
    with opened(file) as handle:
        for line in handle:
            text = line.decode("utf-8-sig" if not found else "utf-8", "replace")
            if text.strip():
                found.append(text)
            if len(found) == 2:
                break
    return (found or [""])[0], found[1] if len(found) == 2 else None


def _parsed(text: str) -> Any:
    """The list or object that a text is, or None."""
    try:
        value = _decoder.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list | dict) else None


def _said(error: Exception, text: str) -> str:
    if text.lstrip().startswith(("{'", "[{'", "['")):
        return "single quotes: this is Python's way of writing, json.dumps writes JSON"
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    before = text[: error.colno - 1].rstrip() if error.lineno > 1 or error.colno - 1 <= len(text) else ""
    if before.endswith(",") and "Expecting" in error.msg:
        return f"{error.msg} after a comma"
    return f"{error.msg} (column {error.colno})"


def _line_at(text: str, number: int) -> str:
    return text.split("\n", number)[number - 1] if number <= text.count("\n") + 1 else ""

"""Options of a multiple-choice row, and which of them its answer means.

Options are a list, an object from letter to option, the columns A, B, C, ..., or ARC's `{"text": […], "label": […]}`.
An answer names one by its letter, its own label, its text, a circled digit (`①` is the first), or its index from 0.
The text of an option comes before its index; an answer that is the letter of one and the text of another is refused. In
a CSV every number is text: it is an index there if that of another row can be nothing else.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.errors import DataError
from configs.tables.cells import kind_of, unpacked
from configs.tables.columns import name_key
from configs.tables.raw import is_blank
from eval.tasks.cells import text_of

COLUMNS = {"choices", "options", "option", "candidates", "选项", "候选", "候选项"}
_LETTER_COLUMN = re.compile(r"(?:option|choice|选项)?[_\s]?([A-Z])")
_PREFIX = re.compile(r"\s*[(（]?([A-Za-z])\s*[.、．:：)）]\s*(?=\S)")
_WRAPPED = re.compile(r"[(（\[【]?\s*([A-Za-z])\s*[)）\]】]?\s*[.。、．]?")
_STEP = "name it by its letter"


@dataclass(frozen=True)
class Options:
    """The options of one question."""

    texts: Mapping[str, str]
    """Letter to text, in the order of the row."""
    labels: Mapping[str, str]
    """What the row itself calls an option (`1`, `a`, `A`) to its letter."""
    columns: frozenset[str] = frozenset()
    """Columns that were read."""


def options_of(row: Mapping[str, Any]) -> Options:
    """The options of a row.

    Raises:
        DataError: there are none, fewer than two, more than 26, or one without a text.
    """
    column = next((name for name in row if name_key(name) in COLUMNS and not is_blank(row[name])), None)
    if column is not None:
        pairs = _pairs(unpacked(row[column]), column)
        return Options(*_lettered(pairs), frozenset([column]))
    found = {match[1]: name for name in row if (match := _LETTER_COLUMN.fullmatch(str(name)))}
    if not {"A", "B"} <= found.keys():
        found = {str(name).upper(): name for name in row if re.fullmatch("[a-z]", str(name))}
    if not {"A", "B"} <= found.keys():
        raise DataError(
            f"`choices` is {row.get('choices')!r}, and the row has no columns A and B: {', '.join(map(str, row))}",
            "write a list of options, an object from letter to option, or the columns A, B, C, D",
        )
    letters = [letter for letter in string.ascii_uppercase if letter in found]
    while len(letters) > 2 and is_blank(row[found[letters[-1]]]):
        letters.pop()
    pairs = [(letter, row[found[letter]]) for letter in letters]
    return Options(*_lettered(pairs), frozenset(found.values()))


def _pairs(value: Any, column: str) -> list[tuple[str | None, Any]]:
    """(the row's own label or None, text) of each option."""
    if isinstance(value, str):
        lines = [(match[1], line[match.end() :]) for line in value.split("\n") if (match := _PREFIX.match(line))]
        if len(lines) > 1:
            return [*lines]
    if isinstance(value, Mapping):
        if isinstance(value.get("text"), Sequence) and isinstance(value.get("label"), Sequence):
            if len(value["text"]) == len(value["label"]):
                return [(str(label), text) for label, text in zip(value["label"], value["text"], strict=True)]
        else:
            # Arrow pads the objects of a column to the same keys.
            kept = {key: text for key, text in value.items() if not is_blank(text)}
            return [(str(label), text) for label, text in kept.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        named = [_named(option) for option in value]
        return [pair for pair in named if pair is not None] if all(named) else [(None, option) for option in value]
    raise DataError(f"`{column}` is {str(value)[:60]!r}", "write a list of options, or an object from letter to option")


def _named(option: Any) -> tuple[str, Any] | None:
    """`{"label": "A", "text": "…"}`"""
    if not isinstance(option, Mapping):
        return None
    label = next((option[key] for key in ("label", "key", "id", "letter", "option") if key in option), None)
    text = next((option[key] for key in ("text", "value", "content", "answer") if key in option), None)
    return None if label is None or text is None else (str(label), text)


def _lettered(pairs: Sequence[tuple[str | None, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    if not 2 <= len(pairs) <= len(string.ascii_uppercase):
        raise DataError(f"a question with {len(pairs)} options", "write 2 to 26 of them")
    letters = string.ascii_uppercase[: len(pairs)]
    own = [None if label is None else label.strip().upper() for label, _ in pairs]
    if all(label is not None and re.fullmatch("[A-Z]", label) for label in own) and len(set(own)) == len(own):
        letters = "".join(str(label) for label in own)  # A, B, D stay A, B, D
    texts = {}
    for letter, (_, text) in zip(letters, pairs, strict=True):
        if is_blank(text):
            raise DataError(f"option {letter} is {kind_of(text)}", "write its text, or take it out")
        texts[letter] = text_of(text, f"option {letter}").strip()
    prefixes = [_PREFIX.match(text) for text in texts.values()]
    if all(m is not None and m[1].upper() == letter for m, letter in zip(prefixes, texts, strict=True)):
        texts = {letter: _PREFIX.sub("", text, count=1) for letter, text in texts.items()}
    labels = {label.strip(): letter for letter, (label, _) in zip(letters, pairs, strict=True) if label is not None}
    return texts, labels


def is_index(answer: Any, options: Options) -> bool:
    """Whether a text can only be an index."""
    place = _place(answer, options)
    return place is not None and not any(_same(text, answer) for text in options.texts.values())


def _place(answer: Any, options: Options) -> int | None:
    said = answer.strip() if isinstance(answer, str) else ""
    short = said.isascii() and said.isdigit() and len(said) < 3 and said not in options.labels
    return int(said) if short and int(said) < len(options.texts) else None


def letter_of(answer: Any, options: Options, counted: bool = False) -> str:
    """The letter that an answer means.

    Args:
        counted: other rows of the same table name theirs by an index.

    Raises:
        DataError: it means none, or could mean two.
    """
    texts, letters = options.texts, list(options.texts)
    if isinstance(answer, list | tuple) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, list | tuple):
        raise DataError(f"several right answers, {str(answer)[:60]}", "a choice has one; ask such questions as `exact`")
    if isinstance(answer, bool) or is_blank(answer):
        raise DataError(f"the answer is {kind_of(answer)}", _STEP)
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    said = text_of(answer, "the answer").strip()
    by_text = [letter for letter, text in texts.items() if _same(text, said)]
    by_name = _named_letter(said, options)
    if by_text and by_name and by_name not in by_text:
        raise DataError(f"the answer {said!r} is option {by_name} and the text of option {by_text[0]}", _STEP)
    if by_name or len(by_text) == 1:
        found = by_name or by_text[0]
        index = answer if isinstance(answer, int) else _place(answer, options) if counted else None
        if index is not None and not by_name and 0 <= index < len(letters) and letters[index] != found:
            raise DataError(f"the answer {said} is the text of option {found} and the index of {letters[index]}", _STEP)
        return found
    if len(by_text) > 1:
        raise DataError(f"the answer {said!r} is the text of the options {', '.join(by_text)}", _STEP)
    if len(said) == 1 and 0 <= ord(said) - ord("①") < len(letters):
        return letters[ord(said) - ord("①")]
    if (place := _place(said, options)) is not None:
        return letters[place]
    if re.fullmatch(rf"[{''.join(letters)}]([\s,，、/和&]*[{''.join(letters)}])+", said.upper()):
        raise DataError(f"several right answers, {said[:60]!r}", "a choice has one; ask such questions as `exact`")
    raise DataError(
        f"the answer {said[:60]!r} is none of the choices {', '.join(letters)}", f"{_STEP}; an index counts from 0"
    )


def _named_letter(said: str, options: Options) -> str | None:
    """`B`, `(b)`, the row's own label, `B. 苹果` where that is option B."""
    if said in options.labels:
        return options.labels[said]
    if (match := _WRAPPED.fullmatch(said)) and match[1].upper() in options.texts:
        return match[1].upper()
    match = _PREFIX.match(said)
    if match and (letter := match[1].upper()) in options.texts:
        if _same(said[match.end() :], options.texts[letter]):
            return letter
        if not any(_same(said, text) for text in options.texts.values()):
            raise DataError(f"the answer {said[:60]!r} is not how option {letter} reads", _STEP)
    return None


def _same(first: str, second: str) -> bool:
    return _plain(first) == _plain(second)


def _plain(text: str) -> str:
    # Not NFKC for circled digits: ④ and 4 are different options.
    return "".join(c if unicodedata.category(c) == "No" else unicodedata.normalize("NFKC", c) for c in text).strip()

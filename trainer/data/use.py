"""Which columns and message keys of a file are read, which are not, and which of the unread look like content.

A run stops when a text that its author wrote to be learned from would be left out: the message holds the line that the
recipe needs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from configs.errors import DataError
from configs.tables.columns import Part, name_key, part_of
from trainer.data.marks import MOST_VALUES, mark_in, written

_SAMPLED = 64
_SHOWN = 6
_CONTENT_NAME = re.compile(
    r"prompt|instruct|question|answer|response|context|passage|document|history|dialog|system|thought|thinking|reason"
    r"|message|persona|hint|example|choice|option|candidate|explanation|analysis|content|refusal|note"
    r"|提示|指令|问题|答案|回答|上下文|文章|材料|历史|对话|系统|思考|推理|人设|角色|选项|内容|原文|解析|说明"
)
_LABEL_NAME = re.compile(
    r"id$|ids$|num$|count|length|len$|tokens?$|type$|lang|source|src|category|class|model$|hash|md5|name$|date|time"
    r"|score|rating|url|link|path|file|tag|topic|subject|domain|level|difficulty|split|dataset|index|version|title"
    r"|author|license|meta|info|状态|类别|类型|分类|标签|来源|编号|序号|难度|主题|领域|语言|日期|时间|标题|链接|作者"
)
_ADDRESS = re.compile(r"(?:[a-z]+://|[\w.\-]+[/\\])\S*|[0-9a-fA-F\-]{16,}|[\w.\-]+@[\w.\-]+|[\d\s:./,T+Z\-]+")
_CJK = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]")
_SENTENCE_END = re.compile(r"[。！？；]|[.!?](?:\s|$)")


@dataclass(frozen=True)
class FileColumns:
    """What became of the columns of one file, for the report."""

    file: str
    layouts: dict[str, int]
    """Rows by layout."""
    used: list[str]
    """Columns and message keys that were read; keys of messages stand as `messages.role`."""
    unread: list[str]
    """Those that hold something and were not read."""
    ambiguous: list[str]
    """Those of which only one can be read, as `question or prompt`."""
    ignored: list[str]
    """Those that data.ignore_columns names, and those that `columns` sets aside for another."""


@dataclass(frozen=True)
class Problem:
    """A text that would be left out, or a choice that only the author can make."""

    what: str
    mend: str
    """The line for the source that settles it; "" where there is none."""
    ignorable: str = ""
    """The column that data.ignore_columns may name instead."""


@dataclass
class _Unread:
    """An unread column: how often it holds something, and the first texts of it."""

    rows: int = 0
    texts: list[str] = field(default_factory=list)
    place: str = ""
    repeated: int = 0
    """Of the texts, those that the conversation holds too."""
    marks: set[bool] = field(default_factory=set)
    values: set[str] | None = field(default_factory=set)
    """What it holds, where that may be marks."""


@dataclass
class FileUse:
    """Collects, row by row, what became of the columns of one file."""

    name: str
    layouts: Counter[str] = field(default_factory=Counter)
    used: dict[str, None] = field(default_factory=dict)
    ignored: dict[str, None] = field(default_factory=dict)
    unread: dict[str, _Unread] = field(default_factory=dict)
    ambiguous: dict[tuple[str, tuple[str, ...]], list[str]] = field(default_factory=dict)
    """(part, columns) to the rows in which they differ."""
    labels: dict[str, set[str]] = field(default_factory=dict)
    """Numbers seen in columns called `label`."""

    def see(self, name: str, value: Any, place: str, said: Sequence[str]) -> None:
        """Notes that a column holds something and is not read; `said` are the texts of the conversation."""
        column = self.unread.get(name)
        if column is None:
            column = self.unread[name] = _Unread(place=place)
        column.rows += 1
        if column.values is not None:
            mark = written(value)
            column.values = None if mark is None or len(column.values) > MOST_VALUES else column.values | {mark}
        # The first rows, then fewer and fewer: a text in row 50,000 counts as well.
        if len(column.texts) >= _SAMPLED and column.rows & (column.rows - 1):
            return
        if isinstance(value, bool):
            column.marks.add(value)
        for text in islice(_texts(value), 4):
            column.texts.append(text)
            column.repeated += any(text in one for one in said) or _holds_all(text, said)

    def differ(self, part: str, columns: Sequence[str], place: str) -> None:
        """Notes that a row holds different texts in several columns of one part."""
        places = self.ambiguous.setdefault((part, tuple(columns)), [])
        if len(places) < _SHOWN:
            places.append(place)

    def columns(self) -> FileColumns:
        """What became of the columns."""
        unread = [name for name, column in self.unread.items() if not _repeats(column)]
        repeats = [name for name, column in self.unread.items() if _repeats(column)]
        return FileColumns(
            self.name,
            dict(self.layouts),
            [*self.used, *(f"{name} (repeats the conversation)" for name in repeats)],
            [name for name in unread if name not in self.used],
            [" or ".join(columns) for _, columns in self.ambiguous],
            list(self.ignored),
        )

    def problems(self) -> list[Problem]:
        """All that must not be left out without a word."""
        found: list[Problem] = []
        for (part, columns), places in self.ambiguous.items():
            found.append(Problem(
                f"{' and '.join(f'`{c}`' for c in columns)} hold different texts, and only one can be the {part} "
                f"({', '.join(places[:3])}{', …' if len(places) > 3 else ''})",
                _choice(part, columns),
            ))  # fmt: skip
        for name, seen in self.labels.items():
            if seen <= {"0", "1"}:
                found.append(Problem(
                    f"`{name}` is 0 or 1: a mark of good and bad answers, or a class",
                    f"columns: {{label: {name}}} on the source to leave out the rows with 0", name,
                ))  # fmt: skip
        for name, column in self.unread.items():
            everywhere = column.rows >= sum(self.layouts.values())
            if mark := mark_in(name, column.values or set(), everywhere):
                found.append(Problem(*mark, name))
            elif _looks_like_content(name, column):
                found.append(self._left_out(name, column))
        return found

    def _left_out(self, name: str, column: _Unread) -> Problem:
        if not column.texts:
            what = f"`{name}` marks messages ({column.rows} times) and is not read"
            return Problem(what, "call it `loss` in the data if false means that the message is not trained", name)
        text = " ".join(column.texts[0].split())
        shown = text[:40] + ("…" if len(text) > 40 else "")
        what = f"`{name}` is not read and looks like content ({column.place}: {shown!r})"
        target = _target(name, chat=not self.layouts.keys() - {"messages", "sharegpt"})
        return Problem(what, f"columns: {{{target}: {name}}} on the source" if target else "", name)


def stop_at_unused(files: Sequence[FileUse]) -> None:
    """Raises a DataError that names every text that would be left out and every pair that only the author can settle.

    Equal problems of several files are named once.
    """
    found: dict[Problem, list[str]] = {}
    for file in files:
        for problem in file.problems():
            found.setdefault(problem, []).append(file.name)
    if not found:
        return
    said = [f"{', '.join(dict.fromkeys(names))}: {problem.what}" for problem, names in list(found.items())[:_SHOWN]]
    if len(found) > _SHOWN:
        said.append(f"and {len(found) - _SHOWN} more")
    ways = list(dict.fromkeys(problem.mend for problem in found if problem.mend))[:_SHOWN]
    if names := sorted(dict.fromkeys(problem.ignorable for problem in found if problem.ignorable)):
        ways.append(f"data.ignore_columns: [{', '.join(names)}] leaves out what is meant to be left out")
    raise DataError("; ".join(said), "; or ".join(ways))


def _texts(value: Any) -> list[str]:
    """The texts in a value, those inside lists and objects too."""
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for v in islice(inner, 8) for text in _texts(v)]


def _holds_all(text: str, said: Sequence[str]) -> bool:
    """Whether a text is the whole conversation once more, as Alpaca's `text` column and rendered chats are."""
    lines = [line.strip() for one in said for line in one.split("\n")]
    return bool(said) and all(line in text for line in lines)


def _repeats(column: _Unread) -> bool:
    return bool(column.texts) and column.repeated == len(column.texts) and max(map(len, column.texts)) > 1


def _looks_like_content(name: str, column: _Unread) -> bool:
    """Whether an unread column holds what its author wrote to be learned from, by its name and its texts."""
    if not column.texts:
        # true here and false there, on messages: someone marked them.
        return "." in name and len(column.marks) == 2
    if _repeats(column):
        return False
    last = name_key(name.rpartition(".")[2])
    proses = sum(map(_is_prose, column.texts))
    if len(last) == 1 and last in "abcdefgh":
        return True  # options of an exam
    part: Part | None = part_of(last)
    if part and part not in ("label", "flag", "reversed_flag", "messages"):
        return any(not _ADDRESS.fullmatch(text) for text in column.texts)
    if _LABEL_NAME.search(last):
        # Labels are words; a sentence that is another one in every row is none.
        return 2 * proses > len(column.texts) and 2 * len(set(column.texts)) > len(column.texts)
    if _CONTENT_NAME.search(last):
        return any(not _ADDRESS.fullmatch(text) for text in column.texts)
    return proses > 0


def _is_prose(text: str) -> bool:
    """Whether a text says something, unlike an address, an id, a date or a label of a few words."""
    if _ADDRESS.fullmatch(text):
        return False
    cjk = len(_CJK.findall(text))
    return cjk >= 10 or len(text.split()) >= 5 or (bool(_SENTENCE_END.search(text)) and (cjk >= 4 or " " in text))


def _target(name: str, chat: bool) -> str | None:
    """The layout name to map a column to, as far as its name tells; conversations take a system prompt only."""
    if "." in name or len(name) == 1:
        return None
    part, lowered = part_of(name), name_key(name)
    if chat:
        asks = part in ("instruction", "question", "context", "input")
        return "system" if asks or re.search("system|persona|role|人设|角色|系统|背景", lowered) else None
    if part in ("history", "system", "context", "input", "tools"):
        return part
    for words, target in (
        ("system|persona|role|人设|角色|系统", "system"), ("thought|think|reason|cot|思考|推理", "reasoning_content"),
        ("history|历史", "history"), ("source|src|text|来源|正文", "input"),
        ("choice|option|选项|explanation|解析|说明", ""),
    ):  # fmt: skip
        if re.search(words, lowered):
            return target or None
    return "context"


def _choice(part: str, columns: Sequence[str]) -> str:
    """The lines that settle which of several columns a part is."""
    columns = [column.removeprefix("messages.") for column in columns]
    ways = [f"columns: {{{part}: {column}}}" for column in columns]
    if part == "question":
        first, second = columns[:2]
        ways = [
            f"columns: {{system: {first}, question: {second}}}",
            f"columns: {{instruction: {first}, input: {second}}}",
            f"data.ignore_columns: [{first}]",
            f"data.ignore_columns: [{second}]",
        ]
    elif part == "content":
        ways += [f"data.ignore_columns: [{column}]" for column in columns]
    elif part == "answer":
        ways.append(f"columns: {{reasoning_content: {columns[0]}, answer: {columns[1]}}}")
    return f"say which on the source, one of: {'; '.join(ways)}"

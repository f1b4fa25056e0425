"""PDF as blocks, page by page, by pypdf: the text that its fonts declare, never a picture of it.

A PDF knows lines, not paragraphs. Lines become one paragraph up to a wider gap, or one that ends early and ends a
sentence. What runs on at the head or foot of most pages is left out. Headings are told by the file's own outline, by
numbers such as `2.3`, and by letters that are larger than most.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from eval.documents.blocks import Block, Read, Unreadable
from eval.documents.pdf_lines import UNKNOWN, Line, lines_of
from eval.documents.running_lines import without_running_lines

MOST_PAGES = 3000
_LEAST_LETTERS = 8
"""A page with fewer has no text."""
_SCANNED = 0.8
_GARBLED = 0.1
_ENDS = re.compile(r"[。！？；：.!?:;]['\"”’）)]*$")
_BEGINS = re.compile(r"(?:[-•·●○■□◆▪*]|[(（]?\d{1,3}[.)、）．]|[(（][一二三四五六七八九十]{1,3}[)）]|[①-⑳])\s*")
_NUMBERED = re.compile(
    r"(?:(?P<dots>\d{1,2}(?:\.\d{1,2}){1,4})\.?\s+\S"
    r"|第[一二三四五六七八九十百零〇\d]{1,5}(?P<part>[章节篇部])\s*\S|(?:chapter|appendix) \w+\b)",
    re.IGNORECASE,
)
_LONGEST_HEADING = 80
_LARGER = 1.12
"""Letters of a heading are larger than those of the text by this much, at least."""
_MANY = 0.2
_WIDER = 1.35
"""A gap between paragraphs is wider than most between lines by this much, at least."""
_NO_SPACE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
_STRANGE = re.compile(f"[{UNKNOWN}\ue000-\uf8ff]")

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it mends without a loss is nobody's business


def read_pdf(data: bytes) -> Read:
    """The blocks of a PDF, with the page of each.

    Raises:
        Unreadable: it is encrypted, scanned, or its fonts do not say which letters they draw.
        PyPdfError: it is no PDF, or damaged beyond reading.
    """
    reader = PdfReader(io.BytesIO(data), strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable(
            "it is locked by a password", "save it without one: qpdf --password=... --decrypt IN.pdf OUT.pdf"
        )
    count = len(reader.pages)
    if count > MOST_PAGES:
        raise Unreadable(f"it has {count:,} pages, at most {MOST_PAGES:,} are read", "split it into chapters")
    pages = [lines_of(page) for page in reader.pages]
    texts = ["\n".join(line.text for line in lines) for lines in pages]
    _refuse_unreadable(texts)
    pages = without_running_lines(pages)
    headings = _Headings(_outline(reader), pages)
    blocks = [block for number, lines in enumerate(pages, 1) for block in _blocks(lines, number, headings)]
    empty = [number for number, text in enumerate(texts, 1) if _letters(text) < _LEAST_LETTERS]
    notes = [f"no text on {len(empty)} of {count} pages ({_some(empty)})"] if empty else []
    if (lost := _declared_pages(reader) - count) > 0:
        notes.append(f"{lost} of its {count + lost} pages are gone: it is damaged")
    if broken := sum(text.count(UNKNOWN) for text in texts):
        notes.append(f"{broken} characters in it are broken")
    return Read(_over_pages(blocks), notes)


def _declared_pages(reader: PdfReader) -> int:
    """How many pages the file says that it has; 0 where it does not say."""
    try:
        return int(reader.root_object["/Pages"]["/Count"])  # type: ignore[index]
    except (PyPdfError, ValueError, LookupError, TypeError):
        return 0


def _refuse_unreadable(texts: Sequence[str]) -> None:
    empty = sum(_letters(text) + len(_STRANGE.findall(text)) < _LEAST_LETTERS for text in texts)
    ocr = "have its text recognized first, such as by `ocrmypdf -l chi_sim+eng IN.pdf OUT.pdf`"
    if not texts or empty == len(texts) or empty > _SCANNED * len(texts):
        raise Unreadable(f"{empty} of its {len(texts)} pages have no text: they are scanned pictures", ocr)
    whole = "".join(texts)
    strange = len(_STRANGE.findall(whole))
    if strange > _GARBLED * max(1, _letters(whole)):
        raise Unreadable("its fonts do not say which letters they draw", ocr)


def _letters(text: str) -> int:
    return sum(char.isalnum() for char in text)


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:6])) + (", …" if len(numbers) > 6 else "")


def _outline(reader: PdfReader) -> Mapping[str, int]:
    """Titles of the file's own table of contents with their levels; empty where it has none, or a broken one."""
    found: dict[str, int] = {}

    def walk(entries: Any, level: int) -> None:
        for entry in entries:
            if isinstance(entry, list):
                walk(entry, level + 1)
            elif isinstance(title := getattr(entry, "title", None), str) and title.strip():
                found.setdefault(_key(title), min(level, 6))

    try:
        walk(reader.outline, 1)
    except (PyPdfError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}  # the text is there without it
    return found


def _key(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


class _Headings:
    """Tells the headings among the lines of a file."""

    def __init__(self, outline: Mapping[str, int], pages: Sequence[Sequence[Line]]) -> None:
        self._outline = outline
        letters: Counter[float] = Counter()
        for line in (line for lines in pages for line in lines):
            letters[line.size] += len(line.text)
        # The largest size of many letters is that of the text: code and notes are set smaller, and may be longer.
        usual = max((size for size, n in letters.items() if n >= _MANY * letters.total()), default=0.0)
        larger = sorted((size for size in letters if size > _LARGER * usual), reverse=True)
        self._levels = {size: min(level, 6) for level, size in enumerate(larger, 1)}

    def level(self, line: Line) -> int:
        """The level of a heading, 0 for a line that is none."""
        if level := self._outline.get(_key(line.text)):
            return level
        if not _letters(line.text) or len(line.text) > _LONGEST_HEADING:
            return 0
        if level := self._levels.get(line.size, 0):
            return level
        match = _NUMBERED.match(line.text)
        if _ENDS.search(line.text) or not match:
            return 0
        if dots := match["dots"]:
            return 1 + dots.count(".")
        return 2 if match["part"] == "节" else 1


def _blocks(lines: Sequence[Line], page: int, headings: _Headings) -> Iterator[Block]:
    usual = median(len(line.text) for line in lines) if lines else 0
    gaps = [upper.y - lower.y for upper, lower in pairwise(lines) if upper.y > lower.y]
    gap = median(gaps) if gaps else 0.0
    paragraph: list[str] = []
    before: Line | None = None
    title: tuple[str, int] | None = None
    for line in lines:
        level = headings.level(line)
        # A heading may take several lines of its size.
        if title and (level != title[1] or before is None or before.y - line.y > _WIDER * max(gap, line.size)):
            yield Block("heading", title[0], title[1], page)
            title = None
        apart = before is not None and before.y - line.y > _WIDER * gap
        if level or apart or _BEGINS.match(line.text):
            yield from _paragraph(paragraph, page)
            paragraph = []
        before = line
        if level:
            title = (_continued(title[0], line.text) if title else line.text, level)
            continue
        paragraph.append(line.text)
        if _ENDS.search(line.text) and len(line.text) < 0.75 * usual:
            yield from _paragraph(paragraph, page)
            paragraph = []
    if title:
        yield Block("heading", title[0], title[1], page)
    yield from _paragraph(paragraph, page)


def _paragraph(lines: Sequence[str], page: int) -> Iterator[Block]:
    text = ""
    for line in lines:
        text = _continued(text, line)
    if text:
        yield Block("text", text, page=page)


def _continued(text: str, line: str) -> str:
    """A text and its next line: no space inside Chinese, none where a word was parted by a hyphen."""
    if not text:
        return line
    if text.endswith("-") and text[-2:-1].isalpha() and line[:1].islower():
        return text[:-1] + line
    if _NO_SPACE.match(text[-1]) or _NO_SPACE.match(line[0]):
        return text + line
    return f"{text} {line}"


def _over_pages(blocks: Sequence[Block]) -> list[Block]:
    """Joins a paragraph that goes on over the end of a page; it counts as the first page's."""
    found: list[Block] = []
    for block in blocks:
        last = found[-1] if found else None
        if (
            last and last.kind == block.kind == "text" and last.page != block.page
            and not _ENDS.search(last.text) and not _BEGINS.match(block.text)
        ):  # fmt: skip
            found[-1] = Block("text", _continued(last.text, block.text), page=last.page)
        else:
            found.append(block)
    return found

"""The documents of a folder: which files are read, and why the others are not.

Each file is read within bounds of size, processor time and memory, whatever it holds: a broken or hostile one is named
and left out, and the others go on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from configs.disk.files import file_bytes, require_utf8_name, whole
from configs.errors import DataError, first_line
from configs.process.limits import OutOfTime, apart
from eval.documents.blocks import Document, Read, Unreadable, placed

LARGEST_BYTES = 64 << 20
LARGEST_TEXT = 20_000_000
"""Characters of one document."""
SECONDS = 120
MEMORY = 2 << 30
MOST_FILES = 100_000
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff]")
"""What no text can hold, and marks of where a line may or may not be broken, at which words would fall apart."""
_LINE_END = re.compile(r"[\x0b-\x0d\x85\u2028\u2029]")
"""What else ends a line or a page: with nothing in its place words would grow together."""
_MARKDOWN = (".md", ".markdown", ".mdown", ".mkd")
_HTML = (".html", ".htm", ".xhtml")
READ = (*_MARKDOWN, ".txt", ".text", *_HTML, ".docx", ".pdf")
"""Suffixes that are read."""
_OTHERS = {
    ".doc": "an old Word file; save it as DOCX",
    ".wps": "a WPS file; save it as DOCX",
    ".rtf": "rich text; save it as DOCX",
    ".odt": "an OpenDocument text; save it as DOCX",
    ".epub": "an e-book; convert it to HTML",
    ".mhtml": "a web archive; save the page as HTML",
    ".mht": "a web archive; save the page as HTML",
    **dict.fromkeys((".ppt", ".pptx"), "slides; save them as PDF"),
    **dict.fromkeys((".xls", ".xlsx"), "a workbook; save what is prose in it as DOCX or text"),
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".parquet"), "rows, no document; name it in data.sources"),
}
NOT_READ = f"not a kind that is read ({', '.join(READ)})"


@dataclass(frozen=True)
class Unread:
    """A file that was not read."""

    name: str
    """Path below the folder."""
    why: str
    """What is wrong with it, and what helps."""


@dataclass
class Folder:
    """What a folder holds."""

    documents: list[Document] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)


def read_folder(place: Path, on_progress: Callable[[str], None] = lambda name: None) -> Folder:
    """The documents of a folder and everything below it, sorted by path; or one document.

    Hidden files and folders are passed by. Links are followed to files inside the folder only.

    Args:
        on_progress: called with the name of each file before it is read.

    Raises:
        DataError: its name is not UTF-8, or nothing in it can be read; then every file is named with its reason.
    """
    if not place.exists():
        raise DataError(f"{place}: no such file or folder", "name a folder with documents")
    require_utf8_name(place.resolve())
    found = Folder()
    for file, name in _files(place, found.unread):
        on_progress(name)
        document = _document(file, name)
        if isinstance(document, Unread):
            found.unread.append(document)
        else:
            found.documents.append(document)
    if not found.documents:
        listed = "; ".join(f"{one.name}: {one.why}" for one in found.unread[:6])
        more = f"; and {len(found.unread) - 6} more" if len(found.unread) > 6 else ""
        raise DataError(f"{place}: no document that can be read{': ' if listed else ''}{listed}{more}",
                        f"put {', '.join(READ)} files into it")  # fmt: skip
    return found


def _closed(error: OSError, root: Path, unread: list[Unread]) -> None:
    """Notes a folder that cannot be looked into."""
    name = Path(str(error.filename)).relative_to(root).as_posix()
    unread.append(Unread(name, f"a folder that cannot be opened ({error.strerror})"))


def _files(place: Path, unread: list[Unread]) -> Iterator[tuple[Path, str]]:
    """(file, name) in the order of the names; what is no candidate goes into `unread`."""
    if place.is_file():
        yield place, place.name
        return
    root = place.resolve()
    listed: list[tuple[tuple[str, ...], Path]] = []
    for folder, folders, files in os.walk(root, onerror=lambda error: _closed(error, root, unread)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in list(folders):
            if (Path(folder) / name).is_symlink():
                unread.append(Unread((Path(folder) / name).relative_to(root).as_posix(), "a link to a folder"))
                folders.remove(name)
        shown = [Path(folder) / file for file in files if not file.startswith((".", "~$"))]
        listed += [(file.relative_to(root).parts, file) for file in shown]
        if len(listed) > MOST_FILES:
            raise DataError(f"{place}: more than {MOST_FILES:,} files in it", "name the folder of the documents alone")
    for parts, file in sorted(listed):
        name = "/".join(parts)
        if whole(name) != name:
            unread.append(Unread(name.encode("utf-8", "replace").decode(), "its name is not UTF-8; rename it"))
        elif file.is_symlink() and not Path(os.path.realpath(file)).is_relative_to(root):  # of a circle too
            unread.append(Unread(name, "a link that leads out of the folder"))
        elif not file.is_file():
            unread.append(Unread(name, "no regular file"))
        else:
            yield file, name


def _document(file: Path, name: str) -> Document | Unread:
    suffix = file.suffix.lower()
    if suffix not in READ:
        return Unread(name, _OTHERS.get(suffix, NOT_READ))
    reader = _reader(suffix)
    try:
        return apart(lambda: _as_document(file, name, reader), SECONDS, MEMORY)
    except OutOfTime:
        return Unread(name, f"reading it took longer than {SECONDS} s; split it, or save it anew")
    except MemoryError:
        return Unread(name, f"reading it took more than {MEMORY >> 30} GiB of memory; split it, or save it anew")


def _as_document(file: Path, name: str, reader: Callable[[bytes], Read]) -> Document | Unread:
    try:
        size = file.stat().st_size
        if size > LARGEST_BYTES:
            return Unread(name, f"{size / 1e6:,.0f} MB, at most {LARGEST_BYTES / 1e6:.0f} MB are read; split it")
        data = file_bytes(file, LARGEST_BYTES)
        if not data.strip():
            return Unread(name, "it is empty")
        read = reader(data)
    except MemoryError:
        raise
    except RecursionError:
        return Unread(name, "it is nested too deeply; save it anew")
    except Unreadable as error:
        return Unread(name, f"{error}; {error.next_step}" if error.next_step else str(error))
    except OSError as error:
        return Unread(name, error.strerror or str(error))
    except Exception as error:  # noqa: BLE001 - readers of foreign formats raise anything; the other files go on
        return Unread(name, f"damaged, or not what its name says ({first_line(error)}); save it anew")
    text, blocks = placed(replace(block, text=_clean(block.text)) for block in read.blocks)
    if len(text) > LARGEST_TEXT:
        return Unread(name, f"{len(text):,} characters, at most {LARGEST_TEXT:,} are read; split it")
    if not any(one.block.kind != "heading" for one in blocks):
        return Unread(name, "no text in it")
    return Document(name, file.suffix.lower().removeprefix("."), text, blocks, tuple(read.notes))


def _clean(text: str) -> str:
    """A text that can be written down and sent: no half of a character, no control characters but tab and line end."""
    return _LINE_END.sub(" ", _CONTROL.sub("", whole(text)))


def _reader(suffix: str) -> Callable[[bytes], Read]:
    """What reads the content of such a file; libraries are imported for the formats that come, once for all files."""
    if suffix == ".pdf":
        from eval.documents.pdf import read_pdf

        return read_pdf
    if suffix == ".docx":
        from eval.documents.word import blocks_of_docx

        return lambda data: Read(blocks_of_docx(data))

    return lambda data: _read_text(data, suffix)


def _read_text(data: bytes, suffix: str) -> Read:
    from eval.documents.plain import BROKEN, blocks_of_markdown, blocks_of_text, decoded
    from eval.documents.web import blocks_of_html

    text, encoding = decoded(data, html=suffix in _HTML)
    notes = [] if encoding in ("utf-8", "utf-16") else [f"read as {encoding}"]
    if broken := text.count(BROKEN):
        notes.append(f"{broken} characters in it are broken")
    if suffix in _HTML:
        return Read(blocks_of_html(text), notes)
    return Read(blocks_of_markdown(text) if suffix in _MARKDOWN else blocks_of_text(text), notes)

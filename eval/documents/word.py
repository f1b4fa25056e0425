"""DOCX as blocks, by way of mammoth's HTML: headings by their style, lists, tables, footnotes.

Deleted text of tracked changes, comments and pictures are left out. Nothing outside the file is opened.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any
from xml.etree import ElementTree

import mammoth

from eval.documents.blocks import Block, Unreadable
from eval.documents.formulas import Part, formula
from eval.documents.web import blocks_of_html

LARGEST_BYTES = 256 << 20
"""Of all parts together, unpacked."""
LARGEST_PART = 64 << 20
"""Of one part of XML."""
MOST_PARTS = 10_000
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_LOST = (b"fldSimple", b"oMath", b":ruby>", b":dir ", b":bdo ")
_STYLES = "\n".join(
    [
        "p[style-name='Title'] => h1:fresh",
        "p[style-name='标题'] => h1:fresh",
        *(f"p[style-name='标题 {level}'] => h{level}:fresh" for level in range(1, 7)),
        "p[style-name='Subtitle'] => p:fresh",
    ]
)


def blocks_of_docx(data: bytes) -> list[Block]:
    """The blocks of a DOCX file.

    Raises:
        Unreadable: it unpacks to more than any document needs, its XML declares entities, or a part of its text is a
            file inside it, which only Word shows.
        zipfile.BadZipFile: it is no zip file.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _refuse_bombs(archive)
    found = mammoth.convert_to_html(
        io.BytesIO(_with_plain_text(data)),
        style_map=_STYLES,
        include_embedded_style_map=False,
        convert_image=_no_image,
        external_file_access=False,
    )
    return blocks_of_html(found.value, is_page=False)


def _refuse_bombs(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    if len(parts) > MOST_PARTS:
        raise Unreadable(f"it has {len(parts):,} parts, at most {MOST_PARTS:,} are opened")
    whole = sum(part.file_size for part in parts)
    if whole > LARGEST_BYTES:
        raise Unreadable(f"it unpacks to {whole >> 20:,} MiB, at most {LARGEST_BYTES >> 20} MiB are opened")
    for part in parts:
        # Which parts are read as XML is said inside the file, so that their names tell too little.
        xml = part.filename.lower().endswith((".xml", ".rels"))
        if part.file_size > LARGEST_PART:
            if xml:
                size = part.file_size >> 20
                raise Unreadable(f"{part.filename} unpacks to {size} MiB, at most {LARGEST_PART >> 20} MiB")
            continue
        # Word writes no document type; one could define entities that grow without end. In UTF-16 zeros lie between.
        content = archive.read(part).replace(b"\0", b"").upper()
        if b"<!ENTITY" in content or (xml and b"<!DOCTYPE" in content):
            raise Unreadable(f"{part.filename} declares a document type, which could hide entities")


def _with_plain_text(data: bytes) -> bytes:
    """The file with formulas, fields and annotated characters as plain text: mammoth leaves them out without a word."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {one.filename: archive.read(one) for one in archive.infolist() if one.file_size <= LARGEST_PART}
    if any(b":altChunk" in content for content in parts.values()):
        raise Unreadable("a part of its text is another file inside it (altChunk)", "open it in Word and save it anew")
    changed = {name for name, content in parts.items() if any(sign in content for sign in _LOST)}
    if not changed:
        return data
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as plain:
        for name, content in parts.items():
            plain.writestr(name, _plain_part(content) if name in changed else content)
    return written.getvalue()


def _plain_part(content: bytes) -> bytes:
    root = ElementTree.fromstring(content)
    for around in list(root.iter()):
        for place, child in reversed(list(enumerate(around))):
            if child.tag in (f"{_WORD}fldSimple", f"{_WORD}dir", f"{_WORD}bdo"):
                around[place : place + 1] = list(child)
            elif child.tag == f"{_WORD}ruby":
                base = child.find(f"{_WORD}rubyBase")
                around[place] = _text("" if base is None else "".join(t.text or "" for t in base.iter(f"{_WORD}t")))
            elif child.tag in (f"{_MATH}oMath", f"{_MATH}oMathPara"):
                run = ElementTree.Element(f"{_WORD}r")
                run.append(_text(f" {formula(_part(child))} "))
                around[place] = run
    return ElementTree.tostring(root, "utf-8", xml_declaration=True)


def _text(text: str) -> ElementTree.Element:
    made = ElementTree.Element(f"{_WORD}t", {"{http://www.w3.org/XML/1998/namespace}space": "preserve"})
    made.text = text
    return made


def _part(element: ElementTree.Element) -> Part:
    return Part(element.tag.rpartition("}")[2], element.text or "", [_part(child) for child in element])


def _no_image(image: Any) -> list[Any]:
    return []

"""HTML as blocks: what a reader of the page would read, without menus, scripts and what is hidden.

Beautiful Soup on Python's own parser: it fetches nothing and runs nothing. Markdown and DOCX come this way too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import CData, NavigableString, Tag

from eval.documents.blocks import Block, Kind, Unreadable
from eval.documents.formulas import Part, formula, raised

LEFT_OUT = {
    "script", "style", "noscript", "template", "svg", "iframe", "object", "embed", "canvas", "audio", "video",
    "nav", "footer", "aside", "form", "button", "select", "textarea", "input", "head", "title", "dialog", "menu",
}  # fmt: skip
"""What is no text of the page, or belongs to the site and not to the page."""
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_PARAGRAPHS = {
    "address", "article", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "header", "hgroup", "hr", "html", "main", "p", "section", "summary", "table", "tbody",
    "td", "tfoot", "th", "thead", "tr", "ul", "ol",
}  # fmt: skip
_ENDS = {
    "p": ("p",), "li": ("li",), "dt": ("dt", "dd"), "dd": ("dt", "dd"), "td": ("td", "th"), "th": ("td", "th"),
    **dict.fromkeys(("tr", "thead", "tbody", "tfoot"), ("tr", "td", "th")),
}  # fmt: skip
"""What a start tag ends: HTML lets a page leave these end tags out, and Python's parser does not see it."""
_AROUND = {"table", "ul", "ol", "dl", "menu", "div", "section", "article", "main", "blockquote", "details", "body"}
"""What holds such elements, each its own."""
_IN_HEAD = {"title", "meta", "link", "script", "style", "base", "noscript", "template"}
_HIDDEN = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]))", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\f\v\u00a0\u3000]+")
_BACK_TO_TEXT = "↑"
_DEEPEST = 400


def blocks_of_html(text: str, *, is_page: bool = True) -> list[Block]:
    """The blocks of a page, of its `main` or only `article` where it has one; or of a text with nothing around it.

    Raises:
        Unreadable: elements are nested deeper than any page needs.
    """
    soup = _Page(text, "html.parser")
    articles = soup.find_all("article", limit=2)
    forms = soup.find_all("form")
    size = len(soup.get_text()) if forms else 0
    for form in forms:
        if 2 * len(form.get_text()) > size:
            form.unwrap()  # some frameworks put the whole page into one
    page = soup.find("main") or (articles[0] if len(articles) == 1 else None) or soup
    walk = _Walk()
    walk.enter(page if is_page else soup, 0)
    walk.flush()
    found = list(_joined(walk.found))
    title = soup.title.get_text().strip() if soup.title and is_page else ""
    if title and not any(block.kind == "heading" for block in found):
        found.insert(0, Block("heading", _line(title), 1))
    return found


class _Page(BeautifulSoup):
    def handle_starttag(self, name: str, *arguments: Any, **named: Any) -> Tag | None:
        inside = self.currentTag
        if inside and inside.name == "head" and name not in _IN_HEAD:
            self.handle_endtag("head")
            inside = self.currentTag
        for around in (inside, *inside.parents) if inside and name in _ENDS else ():
            if around.name in _AROUND or (name == "p" and around.name in _ENDS and around.name != "p"):
                break
            if around.name in _ENDS[name]:
                self.handle_endtag(around.name)
        return super().handle_starttag(name, *arguments, **named)


class _Walk:
    def __init__(self) -> None:
        self.found: list[Block] = []
        self._inline: list[str] = []
        self._mark = ""
        self._kind: Kind = "text"
        self._numbers: dict[int, int] = {}

    def enter(self, node: Tag, depth: int, items: int = 0) -> None:
        """Reads what is inside an element; `items` counts the lists around it."""
        if depth > _DEEPEST:
            raise Unreadable(f"elements are nested more than {_DEEPEST} deep")
        for child in node.children:
            if type(child) in (NavigableString, CData):
                self._inline.append(_SPACE.sub(" ", str(child).replace("\n", " ")))
            elif isinstance(child, Tag) and not _is_left_out(child):
                self._element(child, depth, items)

    def _element(self, child: Tag, depth: int, items: int) -> None:
        name = child.name.lower()
        if name == "br":
            self._inline.append("\n")
        elif name == "sup":
            self._inline.append(raised(_inner(child, depth)))
        elif name == "math":
            self._inline.append(f" {formula(_part(child, depth))} ")
        elif name in _HEADINGS:
            self.flush()
            if text := _inner(child, depth):
                self.found.append(Block("heading", text, _HEADINGS[name]))
        elif name == "pre":
            self.flush()
            code = child.get_text().strip("\n")
            if code.strip():
                self.found.append(Block("code", code))
        elif name == "table" and (rows := _rows(child, depth)):
            self.flush()
            self.found.append(Block("table", "\n".join(" | ".join(row) for row in rows)))
        elif name == "li":
            self.flush()
            around = self._mark, self._kind
            self._mark, self._kind = f"{'  ' * max(0, items - 1)}{self._point(child)} ", "list"
            self.enter(child, depth + 1, items)
            self.flush()
            self._mark, self._kind = around
        elif name in _PARAGRAPHS:
            self.flush()
            self.enter(child, depth + 1, items + (name in ("ul", "ol")))
            self.flush()
        else:
            self.enter(child, depth + 1, items)

    def _point(self, item: Tag) -> str:
        """What stands before a point of a list: its number where the order counts."""
        if item.parent is None or item.parent.name != "ol":
            return "-"
        start = str(item.parent.get("start") or "1")
        first = int(start) if start.isdecimal() and len(start) < 9 else 1
        number = self._numbers[id(item.parent)] = self._numbers.get(id(item.parent), first - 1) + 1
        return f"{number}."

    def flush(self) -> None:
        """Ends the paragraph that was being read."""
        text = "\n".join(filter(None, map(_line, "".join(self._inline).split("\n"))))
        text = text.removesuffix(_BACK_TO_TEXT).strip()
        self._inline.clear()
        if text:
            self.found.append(Block(self._kind, self._mark + text))
            self._mark = " " * len(self._mark)  # further paragraphs of a point stand below its text


def _is_left_out(tag: Tag) -> bool:
    if tag.name.lower() in LEFT_OUT:
        return True
    hidden = tag.has_attr("hidden") or tag.get("aria-hidden") == "true"
    return hidden or bool(_HIDDEN.search(str(tag.get("style") or "")))


def _inner(tag: Tag, depth: int) -> str:
    """All text in an element on one line."""
    walk = _Walk()
    walk.enter(tag, depth + 1)
    walk.flush()
    return _line(" ".join(block.text for block in walk.found))


def _part(tag: Tag, depth: int) -> Part:
    if depth > _DEEPEST:
        raise Unreadable(f"elements are nested more than {_DEEPEST} deep")
    text = "".join(str(child) for child in tag.children if type(child) is NavigableString)
    inside = [_part(child, depth + 1) for child in tag.children if isinstance(child, Tag)]
    return Part(tag.name.lower().rpartition(":")[2], text, inside)


def _rows(table: Tag, depth: int) -> list[list[str]]:
    """The rows of a table of data; none for one that only lays out a page."""
    if table.find(["table", "h1", "h2", "h3", "pre"]):
        return []
    rows = []
    for row in table.find_all("tr"):
        cells = [_inner(cell, depth) for cell in row.find_all(["td", "th"])]
        if any(cells):
            rows.append(cells)
    return rows if any(len(row) > 1 for row in rows) else []


def _line(text: str) -> str:
    return _SPACE.sub(" ", text.replace("\n", " ")).strip()


def _joined(blocks: list[Block]) -> Iterator[Block]:
    """The points of one list become one block."""
    points: list[str] = []
    for block in blocks:
        if block.kind == "list":
            points.append(block.text)
            continue
        if points:
            yield Block("list", "\n".join(points))
            points = []
        yield block
    if points:
        yield Block("list", "\n".join(points))

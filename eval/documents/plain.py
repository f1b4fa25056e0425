"""Text and Markdown files as blocks, whatever encoding they were saved in."""

from __future__ import annotations

import codecs
import re
from collections import Counter

import yaml
from markdown_it import MarkdownIt

from eval.documents.blocks import Block, Unreadable
from eval.documents.web import LEFT_OUT, blocks_of_html

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*\n", re.DOTALL)
_TAG = re.compile(r"<(/?)([a-z][^\s/>]*)[^>]*?(/?)>", re.IGNORECASE)
_NEVER_CLOSED = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option", "rt", "rp",
}  # fmt: skip
"""Elements that need no closing tag."""
_DECLARED = re.compile(rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_LEGACY = ("euc_kr", "euc_jp", "gb18030", "big5", "shift_jis")
"""Korean and Japanese first: nearly all of their bytes are rows of Chinese characters, too."""
_FREQUENT = {"gb18030": (b"\xb0", b"\xd7", "gb2312"), "big5": (b"\xa4", b"\xc6", "big5")}
"""First bytes of the characters in use, and the encoding that sorts them so."""
_LARGER = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}
_WRITTEN = 0.9
_LIKELY = 0.5
_COMMONEST = set("이다는을의에가하고지기로은한를서니사도어있자리아해")
"""A third of what is written in Korean; bytes of Chinese hardly ever read as one of these."""
_COMMON = 0.1
_CHAPTER = re.compile(
    r"第[一二三四五六七八九十百零〇\d]{1,5}[章节篇部条][ \u3000:：]?|chapter \d+\b|[一二三四五六七八九十]{1,3}、",
    re.IGNORECASE,
)
BROKEN = "\ufffd"
"""What stands for a character that could not be read."""
_BROKEN = 0.01
_LONGEST_HEADING = 40
_DEEPEST = 100
"""Of quotes and lists in each other, a list counting twice: what lies deeper would be left out without a word."""
_SENTENCE_END = re.compile(r"[。！？；：.!?;:…]['\"”’」』）)]*\s*$")


def decoded(data: bytes, *, html: bool = False) -> tuple[str, str]:
    """(text, encoding): UTF-8, UTF-16, what a page declares, or an older encoding of East Asia that fits.

    A UTF-8 text with a few broken characters has U+FFFD in their place.

    Raises:
        Unreadable: none of them fits.
    """
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if data.startswith(mark):
            return _lines(_strictly(data, encoding)), encoding.removesuffix("-sig")
    if b"\0" in data[: 1 << 16]:
        # Of two bytes of a Latin letter one is zero, as is one of a few Chinese characters; the wrong order shows.
        for encoding in ("utf-16-le", "utf-16-be"):
            if _fits(data, encoding) and any(_is_likely(data.decode(encoding), table) for table in _FREQUENT):
                return _lines(data.decode(encoding)), encoding
        raise Unreadable("it holds zero bytes")
    if _fits(data, "utf-8"):
        return _lines(data.decode()), "utf-8"
    declared = _DECLARED.search(data[:4096]) if html else None
    name = declared[1].decode("ascii") if declared else ""
    named = [_as_browsers(name), name] if declared else []
    for encoding in (*named, *_LEGACY):
        if _fits(data, encoding) and (encoding in named or _is_likely(data.decode(encoding), encoding)):
            return _lines(data.decode(encoding)), encoding.lower()
    text = data.decode(errors="replace")
    if text.count(BROKEN) <= _BROKEN * len(text):
        return _lines(text), "utf-8"
    raise Unreadable("its bytes are neither UTF-8, UTF-16 nor an encoding of Chinese, Japanese or Korean")


def _as_browsers(declared: str) -> str:
    """The larger encoding that a name stands for in browsers: pages that say ISO-8859-1 have the dashes of Windows."""
    try:
        return _LARGER.get(codecs.lookup(declared).name, declared)
    except LookupError:
        return declared


def blocks_of_markdown(text: str) -> list[Block]:
    """The blocks of a Markdown text: CommonMark with tables; front matter is left out."""
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    tokens = parser.parse(_without_front_matter(text))
    html = [one for token in tokens for one in (token, *(token.children or ())) if one.type.startswith("html_")]
    open_ = Counter[str]()
    for one in html:
        for end, name, alone in _TAG.findall(one.content):
            open_[name.lower()] += -1 if end else not alone
    for one in html:
        one.content = _TAG.sub(lambda tag: _as_meant(tag, open_), one.content)
    return blocks_of_html(parser.renderer.render(tokens, parser.options, {}), is_page=False)


def _without_front_matter(text: str) -> str:
    """The text without its front matter; between two rules there may also be the text itself."""
    front = _FRONT_MATTER.match(text)
    try:
        is_mapping = front is not None and isinstance(yaml.compose(front[1], yaml.SafeLoader), yaml.MappingNode)
    except yaml.YAMLError:
        is_mapping = False
    return text[front.end() :] if front and is_mapping else text


def _as_meant(tag: re.Match[str], open_: Counter[str]) -> str:
    """A tag; as text where nothing closes it: a sentence that speaks of <script> or <main> must not hide the others.

    One with attributes, such as an anchor, is meant as HTML where it hides nothing.
    """
    name = tag[2].lower()
    is_open = open_[name] > 0 and not tag[1] and name not in _NEVER_CLOSED
    spoken_of = is_open and ("=" not in tag[0] or name in LEFT_OUT)
    return f"&lt;{tag[0][1:]}" if spoken_of else tag[0]


def blocks_of_text(text: str) -> list[Block]:
    """Paragraphs of a plain text, parted by blank lines; where it has none, every line is one if it ends a sentence.

    A short line that begins as chapters do is a heading.
    """
    parts = re.split(r"\n[ \t\u3000]*\n", text)
    if len(parts) == 1:
        lines = [line for line in text.split("\n") if line.strip()]
        # Lines that mostly end inside a sentence were broken to fit a width: together they are one paragraph.
        broken = sum(not _SENTENCE_END.search(line) for line in lines) > len(lines) / 2
        parts = [text] if broken else lines
    found = []
    for part in parts:
        first, _, rest = part.strip().partition("\n")
        first = first.strip()
        if len(first) <= _LONGEST_HEADING and _CHAPTER.match(first):
            found.append(Block("heading", first, 1 if first.startswith("第") or first[:1].isalpha() else 2))
            part = rest
        if part.strip():
            found.append(Block("text", "\n".join(line.rstrip() for line in part.strip("\n").split("\n"))))
    return found


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"it begins as {encoding.removesuffix('-sig')} and is not, from byte {error.start} on"
        ) from error


def _fits(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _is_written(text: str) -> bool:
    """Whether a text is made of what is written in East Asia: ASCII, Chinese characters, kana, Hangul, their marks."""
    usual = sum(
        " " <= c <= "~" or c in "\t\r\n\f“”‘’…—·×°" or "\u3000" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff"
        or "\uac00" <= c <= "\ud7a3" or "\uff00" <= c <= "\uff60"
        for c in text
    )  # fmt: skip
    return usual >= _WRITTEN * len(text)


def _is_likely(text: str, encoding: str) -> bool:
    """Whether a text that can be read in an encoding was written in it, and not bytes of Western letters in pairs.

    Both Chinese encodings put the characters in use before the rare ones; Japanese has kana, Korean a few syllables
    everywhere. Characters of nobody's come of bytes of another encoding.
    """
    beyond = [char for char in text if char > "\x7f"]
    han = [char for char in beyond if "\u4e00" <= char <= "\u9fff"]
    if encoding in _FREQUENT:
        first, last, table = _FREQUENT[encoding]
        frequent = sum(first <= char.encode(table, "ignore")[:1] <= last for char in han)
        own = any("\ue000" <= char <= "\uf8ff" for char in beyond)
        return not own and _is_written(text) and frequent >= _LIKELY * max(1, len(han))
    if encoding == "euc_kr":
        hangul = sum("\uac00" <= char <= "\ud7a3" for char in beyond)
        return (
            hangul >= _WRITTEN * (hangul + len(han)) and sum(map(_COMMONEST.__contains__, beyond)) >= _COMMON * hangul
        )
    return sum("\u3041" <= char <= "\u30fe" for char in beyond) >= (1 - _LIKELY) * _WRITTEN * len(beyond) / 2


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")

"""One spelling for characters that differ in width or in how they are put together."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_LONGEST_RUN = 30
_JOINER = "\u034f"


def nfkc(text: str) -> str:
    """Text in Unicode's form NFKC.

    The library sorts the marks on one letter by insertion, and half a million of them take it an hour. Where more stand
    there than any language writes, a joiner ends the run, as Unicode's Stream-Safe Text Format does (UAX #15, 13).
    """
    if len(text) > _LONGEST_RUN and not text.isascii():
        text = _long_run().sub(rf"\g<0>{_JOINER}", text)
    return unicodedata.normalize("NFKC", text)


@cache
def _long_run() -> re.Pattern[str]:
    """A run of what NFKC sorts: marks, and signs such as U+FF9E that become marks."""
    signs = map(chr, range(0x300, 0x20000))
    marks = "".join(sign for sign in signs if unicodedata.combining(unicodedata.normalize("NFKD", sign)[0]))
    return re.compile(f"[{marks}]{{{_LONGEST_RUN}}}")

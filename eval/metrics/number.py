"""The final number of a worked answer, for arithmetic word problems (GSM8K and alike)."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_FIND = re.compile(r"(?:(?<![\d)])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/[1-9]\d*)?|(?<!\d)\.\d+")
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_CUE = re.compile(r"(?i)####|(?:答案|结果|answer)\s*(?:应该|应|would|should)?\s*(?:是|为|等于|is|be|=|:)\s*:?")


def parse_number(text: str) -> Fraction | None:
    """The first number of a text, exact; thousands separators, fractions and full-width digits are understood.

    >>> parse_number("¥1,234.50元")
    Fraction(2469, 2)
    """
    match = _FIND.search(_plain(text))
    return Fraction(match.group().replace(",", "")) if match else None


def extract_number(answer: str) -> Fraction | None:
    r"""The number that a worked answer ends in, or None.

    In this order: the last `\boxed{}`, the number on the line of the last cue (`####`, 答案, answer), the last number.
    """
    text = _plain(answer)
    for boxed in reversed(_BOXED.findall(text)):
        if (value := parse_number(boxed)) is not None:
            return value
    for cue in reversed(list(_CUE.finditer(text))):
        rest = text[cue.end() :].lstrip().split("\n", 1)[0]
        if (value := _concluding(rest)) is not None:
            return value
    found = _FIND.findall(text)
    return Fraction(found[-1].replace(",", "")) if found else None


def _concluding(line: str) -> Fraction | None:
    """`5 + 3 = 8 apples` concludes after its last equals sign, `8 apples for 3 people` in its first number."""
    return parse_number(line.rpartition("=")[2])


def number_match(answer: str, reference: str) -> float:
    """1.0 when the final number of the answer equals the reference's, by value: 18, 18.0 and 18.00 are one number."""
    wanted, found = extract_number(reference), extract_number(answer)
    return float(wanted is not None and found == wanted)


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("\\,", "").replace("\\!", "")
    text = text.replace("**", "").replace("\u2044", "/")
    return _LATEX_FRACTION.sub(r"\1/\2", text)

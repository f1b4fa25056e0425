r"""The final number of a worked answer, for arithmetic word problems (GSM8K and alike).

Numbers are compared by value, exactly: 18, 18.0, 十八 and 1８ are one. A percent sign divides by a hundred, so that 25%
is 0.25; where only one side wrote the sign, 25% is also 25, because the question may have asked for percent. An answer
that ends in a range (`3~5`), a ratio (`3:5`) or two candidates (`3 or 5`) holds no number.
"""

from __future__ import annotations

import re
from fractions import Fraction

from eval.metrics.digits import Quantity, plain, quantities
from eval.metrics.numerals import leading_numeral, numerals

_BOXED = re.compile(r"\\boxed\s*\{")
_CUE = re.compile(r"(?i)####|(?:答案|结果|answer)\s*(?:应该|应|would|should)?\s*(?:是|为|等于|is|be|=|:)\s*:?")

_TRIED, _LINE, _TAIL = 20, 500, 8000
"""So many of the last boxes and cues are read, so many characters of each, and so many of the end where there is none:
a model may repeat one to its limit."""


def parse_number(text: str) -> Fraction | None:
    """The first number of a text, exact; None where there is none, or only a range.

    >>> parse_number("¥1,234.50元")
    Fraction(2469, 2)
    """
    found = _first(plain(text))
    return found.value if found else None


def extract_number(answer: str) -> Fraction | None:
    r"""The number that a worked answer ends in, or None.

    In this order: the last `\boxed{}`, the number on the line of the last cue (`####`, 答案, answer), the last number.

    >>> extract_number("一共 3\\frac{1}{2} 米")
    Fraction(7, 2)
    """
    found = _concluding(answer)
    return found.value if found else None


def number_match(answer: str, reference: str) -> float:
    """1.0 when the final number of the answer equals the reference's, see the rules at the top."""
    wanted, found = _concluding(reference), _concluding(answer)
    if wanted is None or found is None or wanted.value is None or found.value is None:
        return 0.0
    if wanted.percent != found.percent:
        return float(found.value == wanted.value or found.shown == wanted.shown)
    return float(found.value == wanted.value)


def _concluding(answer: str) -> Quantity | None:
    text = plain(answer)
    for start in _last_ends(_BOXED, text):
        if found := _of_line(_braced(text[start : start + _LINE])):
            return found
    for start in _last_ends(_CUE, text):
        if found := _of_line(text[start : start + _LINE].lstrip().split("\n", 1)[0]):
            return found
    text = text[-_TAIL:]
    every = quantities(text) or numerals(text)
    return every[-1] if every else None


def _last_ends(pattern: re.Pattern[str], text: str) -> list[int]:
    """Where the last matches end, the last one first."""
    return [match.end() for match in pattern.finditer(text)][-_TRIED:][::-1]


def _braced(text: str) -> str:
    """What stands before the brace that closes a group which was opened just before `text`."""
    depth = 1
    for place, char in enumerate(text):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if not depth:
            return text[:place]
    return text


def _of_line(line: str) -> Quantity | None:
    """`5 + 3 = 8 apples` concludes after its last equals sign, `8 apples for 3 people` in its first number."""
    return _first(re.split("[=≈]", line)[-1])


def _first(text: str) -> Quantity | None:
    if found := leading_numeral(text):
        return found
    every = quantities(text) or numerals(text)
    return every[0] if every else None

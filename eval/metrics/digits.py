"""Numbers as people write them, found in a text and read exactly.

Digits with thousands separators, decimals, fractions and mixed numbers (`3½`, `3 1/2`, `4(5/11)`, `3又1/2`), powers of
ten (`1e3`, `1.2×10^4`), Chinese units (`1.5万`, `3万5千`) and English ones (`2 million`), percent signs, signs (`-`,
`－`, `−`, 负, 零下, minus), LaTeX (`\\frac34`, `1{,}234`).

What holds digits and is no one number comes back as a `Quantity` without a value: a range (`3~5`, 3到5, `3 or 5`), a
ratio or time (`3:5`), a date or version (`2024/5/6`), a division by zero, more than 300 digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from configs.tables.spelling import nfkc

MOST_DIGITS = 300
"""A longer number is a model that ran away; Python itself reads no more than 4,300 digits."""


@dataclass(frozen=True)
class Quantity:
    """A number in a text."""

    value: Fraction | None
    """What it is worth: 25% is 1/4. None for digits that are no one number."""
    shown: Fraction | None
    """The number that stands before a percent sign: 25 of 25%; else the value."""
    start: int
    end: int

    @property
    def percent(self) -> bool:
        """Whether it was written as a part of a hundred or a thousand."""
        return self.value != self.shown


def _latex_argument(name: str) -> str:
    return rf"(?:\{{\s*(?P<{name}>[^{{}}]*?)\s*\}}|(?P<{name}1>[0-9]))"


_LATEX_FRACTION = re.compile(rf"\\[dtc]?frac\s*{_latex_argument('a')}\s*{_latex_argument('b')}")
_LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_LATEX_SPACE = re.compile(r"\\(?:left|right|quad|[,!;: ])")
_THIN_SPACE = re.compile(r"(?<=[0-9])[\u00a0\u2007\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_UNIT_POWER = re.compile(r"(?<![A-Za-z])((?:[cdkm]?m|ft|in|yd))\^?\{?[23]\}?(?![0-9.])")
_OTHER_POWER = re.compile(r"(?<=[A-Za-z\u4e00-\u9fff])\^\{?[-+]?\w+\}?|\^\{?(?:\\circ|°)\}?")
_MINUS_WORD = re.compile(
    r"(?i)(?:[负負]|零下|(?<![a-z])negative |(?:^|(?<=[:=(,.\n])|(?<=[:=(,.] )|(?<=\bis )|(?<=\bbe )|(?<=\bto ))minus )"
    r"\s*(?=[0-9.(零〇一二两三四五六七八九十百半])"
)
_CURRENCY = re.compile(r"(?<=-)\\?[$¥€£](?=[0-9.])")
_SUPERSCRIPT = {ord(char): plain for char, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True)}
_SUPERSCRIPTS = re.compile(f"[{''.join(map(chr, _SUPERSCRIPT))}]+")
_SUBSCRIPTS = re.compile("[\u2080-\u2089]+")


def plain(text: str) -> str:
    """A text with one spelling for each thing: ASCII digits and signs, `a/b` for every fraction, no LaTeX."""
    if not text.isascii():
        text = _THIN_SPACE.sub("", text)
        text = _SUPERSCRIPTS.sub(lambda found: "^" + found[0].translate(_SUPERSCRIPT), _SUBSCRIPTS.sub("", text))
        text = "".join(map(_apart, text))
        text = nfkc(text).translate(_SPELLED)
        text = re.sub(r"(?<![\w)%~])–(?=[0-9])", "-", text)
    if "\\" in text:
        text = text.replace("{,}", ",").replace("\\%", "%")
        text = re.sub(r"(?<=[0-9])\\[,!](?=[0-9])", "", text)
        text = _LATEX_TEXT.sub(r" \1", _LATEX_SPACE.sub(" ", text))
        text = re.sub(r"\\(?:times|cdot|ast)(?![A-Za-z])", "*", re.sub(r"\\approx(?![A-Za-z])", "≈", text))
        text = _LATEX_FRACTION.sub(lambda m: f"({m['a'] or m['a1'] or 0}/{m['b'] or m['b1'] or 0})", text)
    else:
        text = text.replace("{,}", ",")
    text = _UNIT_POWER.sub(r"\1", text.replace("**", ""))
    text = _CURRENCY.sub("", _MINUS_WORD.sub("-", text))
    return _OTHER_POWER.sub("", text).replace("$", " ")


_SPELLED = str.maketrans(
    {"−": "-", "‐": "-", "—": "~", "―": "~", "〜": "~", "∼": "~", "⁄": "/", "廿": "二十", "卅": "三十", "卌": "四十"}
)


def _apart(char: str) -> str:
    """A character that NFKC would glue to its neighbours: `3½` is not 31/2, `①5` not 15, `㎡` no number, `٣` is 3."""
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category == "No":
        normal = unicodedata.normalize("NFKC", char)
        return f"({normal})" if "⁄" in normal else f" {normal} "
    if category == "So" and (normal := unicodedata.normalize("NFKC", char))[-1:] in {"2", "3"}:
        return normal[:-1]
    return char


_DIGITS = r"(?:(?:[0-9]{1,3}(?:[,'][0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![0-9])\.[0-9]+)"
_EXPONENT = r"[{(]?[-+]?[0-9]+[)}]?"
_POWER = rf"{_DIGITS}(?:[eE][-+]?[0-9]+(?![0-9A-Za-z]))?(?:\s?[*xX×·]\s?10\^{_EXPONENT}|\^{_EXPONENT})?"
_UNIT = r"(?:[十百](?!分)|千(?![克米瓦卡赫帕伏焦安])|[万亿])"
WORD_UNITS = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALED = rf"{_POWER}(?:\s?{_UNIT}+(?:零?[0-9]+(?:\.[0-9]+)?{_UNIT}*)*)"
PART_OF = {"百": 100, "千": 1000, "万": 10000}
HALF = r"(?:个|年|天|小时|倍|斤|米|点|公里|元|块)?半(?![径圆球导数])"
_NUMBER = re.compile(
    rf"""(?P<minus>(?<![0-9)A-Za-z%])-)?(?:
        (?P<none>[0-9]+(?:(?:\.[0-9]+){{2,}}|(?:/[0-9]+){{2,}}|(?::[0-9]+)+|-[0-9]{{1,2}}-[0-9]{{1,2}}(?<=[0-9]{{4}}.....))
            (?![0-9]))
      | (?P<of>[百千万])分之(?P<parts>{_DIGITS})
      | (?P<bottom>[0-9]+)分之(?P<top>[0-9]+)
      | (?P<whole>[0-9]+)(?:\s?\(|\ |又)(?P<over>[0-9]+)/(?P<under>[0-9]+)(?![0-9./])\)?
      | \((?P<inner>{_POWER}/{_POWER})\)
      | (?P<scaled>{_SCALED})
      | (?P<plain>{_POWER}(?:/{_POWER})?)
    )(?:(?P<half>{HALF})|(?P<thousands>[kK](?![A-Za-z]))|\s?(?P<word>hundred|thousand|million|billion|trillion)s?\b)?
    (?P<sign>\s?(?:%|‰|per\s?cent\b))?""",
    re.VERBOSE | re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"[^\s0-9,.;:!?，。；：！？、()=+*/~-]{0,2}\s?(?:~|到|至|或者?|to|or)\s?|[^\s0-9=+*/~.,，。、-]{0,2}-"
)
_AND = re.compile(r"[^\s0-9]{0,2}\s?(?:and|和|与)\s?")


def quantities(text: str) -> list[Quantity]:
    """The numbers written with digits in a `plain` text, in their order; a range is one without a value."""
    return ranges_joined((quantity for match in _NUMBER.finditer(text) for quantity in _read(match)), text)


def ranges_joined(found: Iterable[Quantity], text: str) -> list[Quantity]:
    """The same numbers, two that are the ends of a range as one without a value."""
    joined: list[Quantity] = []
    for quantity in found:
        if joined and _is_range(joined[-1], quantity, text):
            joined[-1] = Quantity(None, None, joined[-1].start, quantity.end)
        else:
            joined.append(quantity)
    return joined


def _is_range(first: Quantity, second: Quantity, text: str) -> bool:
    """3~5, 3到5, 3 or 5, between 3 and 5; a hyphen makes one where it does not subtract: 3-5, but not 10-5."""
    gap = text[first.end : second.start]
    if len(gap) > 8:
        return False
    if text[second.start] == "-" and gap:  # `3元-5元`: the hyphen was read as a sign
        return bool(_BETWEEN.fullmatch(gap + "-")) and _ascends(first, second)
    if _BETWEEN.fullmatch(gap):
        return not gap.endswith("-") or _ascends(first, second)
    around = text[max(0, first.start - 8) : first.start].lower().endswith("between ")
    around = around or text[second.end : second.end + 4].lstrip("个元岁天人").startswith("之间")
    return around and bool(_AND.fullmatch(gap))


def _ascends(first: Quantity, second: Quantity) -> bool:
    return first.value is not None and second.value is not None and 0 <= first.value < abs(second.value)


def _read(match: re.Match[str]) -> Iterator[Quantity]:
    """The number that was matched, or the two that only looked like a mixed one."""
    start, end = match.span()
    if match["whole"] and int_or_none(match["over"], 9) is not None and int_or_none(match["under"], 9) is not None:
        if not int(match["over"]) < int(match["under"]):
            yield _quantity(power(match["whole"]), start, match.end("whole"), bool(match["minus"]))
            top, bottom = match.span("over")[0], match.span("under")[1]
            yield _quantity(_quotient(match["over"], match["under"]), top, bottom, False)
            return
        value = power(match["whole"])
        value = None if value is None else value + Fraction(int(match["over"]), int(match["under"]))
    elif match["none"] or match["whole"]:
        value = None
    elif match["of"]:
        shown = power(match["parts"])
        shown = -shown if shown is not None and match["minus"] else shown
        yield Quantity(None if shown is None else shown / PART_OF[match["of"]], shown, start, end)
        return
    elif match["bottom"]:
        value = _quotient(match["top"], match["bottom"])
    elif match["scaled"]:
        value = _scaled(match["scaled"])
    else:
        value = _quotient(*(match["inner"] or match["plain"]).split("/"))
    if value is not None and match["half"]:
        value += Fraction(1, 2)
    if value is not None and match["thousands"]:
        value *= 1000
    if value is not None and match["word"]:
        value *= WORD_UNITS[match["word"].lower()]
    yield _quantity(value, start, end, bool(match["minus"]), (match["sign"] or "").strip())


def _quantity(value: Fraction | None, start: int, end: int, minus: bool, sign: str = "") -> Quantity:
    if value is None:
        return Quantity(None, None, start, end)
    value = -value if minus else value
    return Quantity(value / (1000 if sign == "‰" else 100 if sign else 1), value, start, end)


def _quotient(top: str, bottom: str = "1") -> Fraction | None:
    above, below = power(top), power(bottom)
    return above / below if above is not None and below else None


def int_or_none(digits: str, most: int = MOST_DIGITS) -> int | None:
    """Digits as a number; None where they are more than `most`."""
    return int(digits) if len(digits) <= most else None


_POWER_PARTS = re.compile(
    rf"(?P<base>{_DIGITS})(?:[eE](?P<e>[-+]?[0-9]+))?(?:\s?[*xX×·]\s?10\^(?P<tens>{_EXPONENT})|\^(?P<to>{_EXPONENT}))?"
)


def power(text: str) -> Fraction | None:
    """A number without a sign: `1,234.5`, `1e3`, `1.2×10^4`, `2^10`; None where it has too many digits."""
    match = _POWER_PARTS.fullmatch(text)
    if match is None or len(match["base"]) > MOST_DIGITS:
        return None
    value = Fraction(match["base"].replace(",", "").replace("'", ""))
    for name in ("e", "tens", "to"):
        if match[name] is None:
            continue
        base = value if name == "to" else Fraction(10)
        raised = int_or_none(match[name].strip("{}()"), 4)
        if raised is None or abs(raised) * len(str(base)) > MOST_DIGITS * 2 or (base == 0 and raised < 0):
            return None
        value = base**raised if name == "to" else value * base**raised
    return value


def _scaled(text: str) -> Fraction | None:
    """`1.5万`, `3万5千`, `1亿2000万`, `1万5`."""
    parts: list[Fraction | str] = []
    for piece in re.findall(rf"{_POWER}|\S", text):
        if piece[0].isdigit() or piece[0] == ".":
            value = power(piece)
            if value is None:
                return None
            parts.append(value)
        else:
            parts.append(piece)
    return chinese_value(parts)


_TENS = {"十": 10, "百": 100, "千": 1000}
_GREAT = {"万": 10**4, "亿": 10**8}


def chinese_value(parts: list[Fraction | str]) -> Fraction | None:
    """What digits and units are worth together; None where they are no number.

    >>> chinese_value([Fraction(1), "百", "零", Fraction(3)])
    Fraction(103, 1)
    """
    total = section = Fraction(0)
    digit: Fraction | None = None
    unit, zero = Fraction(1), False
    for part in parts:
        if isinstance(part, Fraction):
            if digit is not None:
                return None
            digit = part
        elif part == "零":
            zero = True
        elif part in _TENS:
            unit = Fraction(_TENS[part])
            section += (Fraction(1) if digit is None else digit) * unit
            digit, zero = None, False
        else:
            unit = Fraction(_GREAT[part])
            section += digit or 0
            total = (total + section) * unit if part == "亿" or not (total or section) else total + section * unit
            total = total or unit
            if total >= 10**MOST_DIGITS:  # 亿 that a model repeats: Python writes no number of thousands of digits
                return None
            section, digit, zero = Fraction(0), None, False
    if digit is not None:
        # 一百五 is 150, 一百零五 is 105: a last digit without its unit counts the next lower one.
        lower = unit > 10 and not zero and digit.denominator == 1 and 0 < digit < 10
        section += digit * unit / 10 if lower else digit
    return total + section

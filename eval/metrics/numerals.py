"""Numbers written in words: 二十五, 一百零三, 七分之三, 百分之二十, 两, 半; twenty-five, three and a half.

They are looked for where a text holds no digits, or right behind what announces the answer: 一 and one are mostly
words.
"""

from __future__ import annotations

import re
from fractions import Fraction

from eval.metrics.digits import HALF, MOST_DIGITS, PART_OF, WORD_UNITS, Quantity, chinese_value, ranges_joined

_SIMPLE = str.maketrans("〇兩壹贰貳叁參肆伍陆陸柒捌玖拾佰仟萬億點負", "零两一二二三三四五六六七八九十百千万亿点负")
_CHINESE_DIGIT = {char: Fraction(value) for value, char in enumerate("零一二三四五六七八九")} | {"两": Fraction(2)}
_CHARS = "零一二两三四五六七八九十百千万亿"
_CHINESE_NUMBER = rf"[{_CHARS}]+(?:点[零一二三四五六七八九]+)?"
_CHINESE = re.compile(
    rf"""(?<![第{_CHARS}])(?P<minus>[负-])?(?:
        (?P<of>[百千万])分之(?P<parts>{_CHINESE_NUMBER})
      | (?:(?P<and>{_CHINESE_NUMBER})又)?(?P<bottom>[{_CHARS}]+)分之(?P<top>[{_CHARS}]+)
      | (?P<plain>{_CHINESE_NUMBER})(?P<more>{HALF})?
      | (?P<half>半)(?![径圆球导数夜路])
    )""",
    re.VERBOSE,
)
_COUNTED = (
    "个只元块条本张人岁天年次倍名位件辆台棵支把斤米厘分秒小月日周页层排杯瓶盒袋箱双对朵匹头颗粒度吨克毫公平立里升"
)
"""What may stand behind an amount of one character."""
_ENDS = r"(?=\s*(?:[。.,，;；:!！?？(（)）、]|$))"
_CLAUSE_ENDS = re.compile(_ENDS, re.MULTILINE)
_STANDS_ALONE = re.compile(rf"[{_COUNTED}]?[\u4e00-\u9fff]?{_ENDS}", re.MULTILINE)
_ABOUT = re.compile(r"[一二两三四五六七八九]{2}[十百千万亿]?")
"""两三个 is no number but a guess."""
_IDIOMS = re.compile(
    r"十分(?![之钟])|千万(?![元块人])|四周|三角|两者|二者|半数|万一|一半(?=[的是])|一[一样些起定直般共旦致切如同]"
)


def chinese_numerals(text: str) -> list[Quantity]:
    """The numbers written with Chinese characters in a `plain` text.

    A single character counts where it stands for an amount (七, 七个, 两元): 一共 and 十分 are words.
    """
    text = text.translate(_SIMPLE)
    found = []
    for match in _CHINESE.finditer(text):
        lone = len(match[0]) == 1
        alone = not lone or _STANDS_ALONE.match(text, match.end())
        counts = alone or (match[0] != "一" and text[match.end() : match.end() + 1] in _COUNTED + "到至~或")
        if not counts or _IDIOMS.match(text, match.start()):
            continue
        value, shown = _chinese(match)
        if match["plain"] and _ABOUT.fullmatch(match["plain"]):
            found.append(Quantity(None, None, match.start(), match.end()))
        elif value is not None:
            sign = -1 if match["minus"] else 1
            found.append(Quantity(sign * value, sign * (shown or value), match.start(), match.end()))
    return found


def _chinese(match: re.Match[str]) -> tuple[Fraction | None, Fraction | None]:
    if match["half"]:
        return Fraction(1, 2), None
    if match["of"]:
        shown = _chinese_number(match["parts"])
        return (None, None) if shown is None else (shown / PART_OF[match["of"]], shown)
    if match["bottom"]:
        top, bottom = _chinese_number(match["top"]), _chinese_number(match["bottom"])
        whole = _chinese_number(match["and"]) if match["and"] else Fraction(0)
        return (None, None) if top is None or not bottom or whole is None else (whole + top / bottom, None)
    value = _chinese_number(match["plain"])
    if match["plain"] == "一" and match["more"] == "半":
        return Fraction(1, 2), None
    return (None if value is None else value + (Fraction(1, 2) if match["more"] else 0)), None


def _chinese_number(text: str) -> Fraction | None:
    """二十五, 一百零三, 三点一四, 二零二五; None where the characters are no number."""
    whole, _, decimals = text.partition("点")
    if len(whole) > 1 and all(char in _CHINESE_DIGIT for char in whole):
        value: Fraction | None = Fraction("".join(str(_CHINESE_DIGIT[char]) for char in whole)[:MOST_DIGITS])
    elif whole == "零":
        value = Fraction(0)
    else:
        value = chinese_value([char if char == "零" else _CHINESE_DIGIT.get(char, char) for char in whole])
    if value is None or not decimals:
        return value
    return value + Fraction("0." + "".join(str(_CHINESE_DIGIT[char]) for char in decimals)[:MOST_DIGITS])


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_DECADES = "twenty thirty forty fifty sixty seventy eighty ninety"
_ENGLISH = {word: value for value, word in enumerate(_UNITS.split())}
_ENGLISH |= {word: 10 * value for value, word in enumerate(_DECADES.split(), start=2)}
_ENGLISH_WORD = "|".join(sorted([*_ENGLISH, *WORD_UNITS], key=len, reverse=True))
_ENGLISH_NUMBER = re.compile(
    r"(?i)(?<![a-z])(?P<minus>-|minus |negative )?"
    rf"(?:(?P<words>(?:{_ENGLISH_WORD})(?:(?:(?<=hundred)\s+and\s+|(?<=thousand)\s+and\s+|[\s-])(?:{_ENGLISH_WORD}))*)"
    rf"(?P<more>\s+and\s+a\s+half)?|(?:(?:a|one)\s+)?(?P<half>half))(?![a-z-])(?P<sign>\s+per\s?cent)?"
)


def english_numerals(text: str) -> list[Quantity]:
    """The numbers written in English words; `one` only where it ends a clause, because it is a pronoun as well."""
    found = []
    for match in _ENGLISH_NUMBER.finditer(text):
        if match[0].lower() == "one" and not _CLAUSE_ENDS.match(text, match.end()):
            continue
        value = Fraction(1, 2) if match["half"] else _english(match["words"].lower())
        value += Fraction(1, 2) if match["more"] else 0
        value = -value if match["minus"] else value
        found.append(Quantity(value / (100 if match["sign"] else 1), value, *match.span()))
    return found


def _english(words: str) -> Fraction:
    total = section = 0
    for word in re.findall(r"[a-z]+", words):
        if word == "hundred":
            section = (section or 1) * 100
        elif word in WORD_UNITS:
            total, section = total + (section or 1) * WORD_UNITS[word], 0
        elif word != "and":
            section += _ENGLISH[word]
    return Fraction(total + section)


def numerals(text: str) -> list[Quantity]:
    """The numbers written in words, Chinese or English, in their order; a range is one without a value."""
    found = sorted([*chinese_numerals(text), *english_numerals(text)], key=lambda quantity: quantity.start)
    return ranges_joined(found, text)


def leading_numeral(text: str) -> Quantity | None:
    """The number in words that is all of the first clause of a `plain` text: 七, 七个, twenty-five."""
    found = numerals(text.lstrip())[:1]
    if found and found[0].start == 0 and _STANDS_ALONE.match(text.lstrip()[found[0].end :]):
        return found[0]
    return None

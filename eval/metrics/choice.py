"""Which letter an answer to a multiple-choice question names.

Only for endpoints that cannot restrict the output to the letters. An answer that names none, or several without
deciding, gives None: it is wrong and counted as unparsed. A letter is never drawn at random.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence

_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{\s*)?([A-Z])\s*\}")
_DECORATION = re.compile(r"[*_`$\"'“”‘’【】\[\]「」]")
# What leads to the chosen letter, most decisive first. Nothing may stand between it and the letter but filler.
_STRONG = r"(?:答案|正确(?:的)?(?:选项|选择|的是)|最佳选项|(?:correct |best |final )?(?:answer|option|choice))"
_WEAK = r"(?:(?:应该|应当|应|故|我|只能|最终)?选择?(?!项)|应该是|应为|而是|故为|choose|select|pick)"
_FILLER = r"(?:选项|应该|应当|应|就是|是|为|选择|选|option|choice|is|be|would|should|[\s:=：,，(])*"


_NEGATED = re.compile(r"(?:[不非未别勿没]|\bnot|n't)\s*(?:应该|应当|应|该|能|会|可以|可|要|是|有)?\s*$")


@functools.lru_cache(maxsize=64)
def _patterns(letters: str) -> dict[str, re.Pattern[str]]:
    one = f"([{letters}])"
    # "AB", "A和B", "A or B": several letters are no decision.
    several = rf"(?![A-Za-z]|\s*\)?\s*(?:和|或|与|及|、|,|/|or\b|and\b)\s*\(?[{letters}](?![A-Za-z]))"
    return {
        "bare": re.compile(rf"^\(?{one}\)?[\s.。,，:;、!]*$"),
        "strong": re.compile(rf"(?i:{_STRONG})(?i:{_FILLER}){one}{several}"),
        "weak": re.compile(rf"(?i:{_WEAK})(?i:{_FILLER}){one}{several}"),
        "called right": re.compile(
            rf"(?<![A-Za-z]){one}\)?\s*(?:选?项)?(?:是|为)?(?:正确|对的|符合题意|is (?:the )?(?:correct|right|best))"
        ),
        "leading": re.compile(
            rf"^\(?{one}(?:\)|\s*[.。:;]|\s*[、,](?!\s*[{letters}](?![A-Za-z]))"
            rf"|\s+(?![a-z]|和|或)|(?=[\u4e00-\u9fff])(?![和或与及]))"
        ),
        "anywhere": re.compile(rf"(?<![A-Za-z]){one}(?![A-Za-z]|\s+[a-z])"),
    }


def extract_choice(answer: str, choices: Mapping[str, str] | Sequence[str] = ("A", "B", "C", "D")) -> str | None:
    """The letter that an answer decides for, or None.

    Args:
        answer: the model's text, thinking removed.
        choices: letter to the option's text, or the letters alone. An answer that is one option's text counts too.

    >>> extract_choice("因为B错误，所以答案为C")
    'C'
    """
    letters = "".join(choices)
    text = unicodedata.normalize("NFKC", answer).strip()
    boxed = [letter for letter in _BOXED.findall(text) if letter in letters]
    if boxed:
        return str(boxed[-1])
    text = _DECORATION.sub("", text).strip()
    patterns = _patterns(letters)
    if match := patterns["bare"].match(text):
        return match.group(1)
    for cue in ("strong", "weak", "called right"):
        found = [m.group(1) for m in patterns[cue].finditer(text) if not _NEGATED.search(text[: m.start()])]
        if found:
            return found[-1]
    if match := patterns["leading"].match(text):
        return match.group(1)
    if isinstance(choices, Mapping):
        same = [letter for letter, option in choices.items() if option and _plain(option) == _plain(text)]
        if len(same) == 1:
            return same[0]
    named = set(patterns["anywhere"].findall(text))
    return named.pop() if len(named) == 1 else None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().rstrip("。.").casefold()

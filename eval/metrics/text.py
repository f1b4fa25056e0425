"""Robust text comparison beside the official metrics, and what a summary's ROUGE does not show.

`zh_f1` / `zh_em` ignore what a prompt's style changes (width of characters, punctuation, case, order), so that base and
tuned model differ by what they know and not by how they phrase it.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from configs.tables.spelling import nfkc

if TYPE_CHECKING:
    from opencc import OpenCC

_LATIN_WORD = re.compile(r"[A-Za-z0-9]+(?:['’\-][A-Za-z0-9]+)*")
_NGRAM = 4


@functools.lru_cache(maxsize=65536)
def is_han(char: str) -> bool:
    """Whether a character is a Chinese ideograph (unified, extensions A to H, compatibility, and 〇)."""
    code = ord(char)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x323AF
        or 0xF900 <= code <= 0xFAFF
        or code == 0x3007
    )


@functools.lru_cache(maxsize=65536)
def is_punctuation(char: str) -> bool:
    """Whether Unicode calls a character punctuation (category P): `+` and `=` are symbols and are not."""
    return unicodedata.category(char)[0] == "P"


def han_count(text: str) -> int:
    """Number of Chinese characters in a text."""
    return sum(map(is_han, text))


def latin_words(text: str) -> list[str]:
    """Words and numbers in Latin script; an inner apostrophe or hyphen does not split one."""
    return _LATIN_WORD.findall(text)


@functools.lru_cache(maxsize=8192)
def to_simplified(text: str) -> str:
    """Traditional characters become simplified ones, phrases before characters (OpenCC's `t2s` dictionaries).

    A text without a traditional character stays as it is; most are such, and asking by character is cached.
    """
    return _converter("t2s").convert(text) if any(map(_is_traditional, text)) else text


def traditional_share(text: str) -> float:
    """Among the characters that differ between the scripts, the share that is traditional; 0 where none differs."""
    simplified, traditional = to_simplified(text), _converter("s2t").convert(text)
    if len(simplified) != len(text) or len(traditional) != len(text):
        return float(traditional == text and simplified != text)
    was_traditional = sum(1 for before, after in zip(text, simplified, strict=True) if before != after)
    was_simplified = sum(1 for before, after in zip(text, traditional, strict=True) if before != after)
    return was_traditional / (was_traditional + was_simplified) if was_traditional + was_simplified else 0.0


@functools.lru_cache(maxsize=65536)
def normalize(text: str, simplify: bool = True) -> str:
    """NFKC, lower case, no white space, no punctuation; simplified characters where `simplify` is set.

    A point between two digits stays, and the sign of a number: 3.5 is not 35, -5 not 5.
    """
    text = nfkc(text).lower()
    if simplify:
        text = to_simplified(text)
    kept = []
    for position, char in enumerate(text):
        before, after = text[position - 1 : position], text[position + 1 : position + 2]
        if char in "-−" and after.isdigit() and not before.isalnum():
            kept.append("-")
        elif (char == "." and before.isdigit() and after.isdigit()) or not (char.isspace() or is_punctuation(char)):
            kept.append(char)
    return "".join(kept)


@functools.lru_cache(maxsize=65536)
def _is_traditional(char: str) -> bool:
    return bool(_converter("t2s").convert(char) != char)


@functools.cache
def _converter(direction: Literal["t2s", "s2t"]) -> OpenCC:
    from opencc import OpenCC

    return OpenCC(direction)


def zh_em(prediction: str, answers: Sequence[str], simplify: bool = True) -> float:
    """1.0 when the normalized prediction equals one of the normalized answers."""
    wanted = normalize(prediction, simplify)
    return float(bool(wanted) and any(normalize(answer, simplify) == wanted for answer in answers))


def zh_f1(prediction: str, answers: Sequence[str], simplify: bool = True) -> float:
    """Bag-of-characters F1 in 0..1 after normalization, the best over the answers."""
    found = normalize(prediction, simplify)
    return max((_bag_f1(found, normalize(answer, simplify)) for answer in answers), default=0.0)


def _bag_f1(prediction: str, answer: str) -> float:
    if not prediction or not answer:
        return 0.0
    common = sum((Counter(prediction) & Counter(answer)).values())
    return 2 * common / (len(prediction) + len(answer))


def length_ratio(prediction: str, reference: str) -> float:
    """Characters of the prediction over characters of the reference, white space aside; 0 without a reference."""
    length = len("".join(reference.split()))
    return len("".join(prediction.split())) / length if length else 0.0


def copy_rate(prediction: str, source: str, n: int = _NGRAM) -> float:
    """Share of the prediction's character n-grams that also stand in the source, 0..1; 0 for an empty prediction.

    A prediction shorter than `n` characters counts as one gram.
    """
    prediction, source = "".join(prediction.split()), "".join(source.split())
    if not prediction:
        return 0.0
    n = min(n, len(prediction))
    grams = [prediction[start : start + n] for start in range(len(prediction) - n + 1)]
    known = {source[start : start + n] for start in range(len(source) - n + 1)}
    return sum(gram in known for gram in grams) / len(grams)


def repetition(prediction: str, n: int = _NGRAM) -> float:
    """Share of the prediction's character n-grams that already occurred in it, 0..1: 0 is no repetition."""
    prediction = "".join(prediction.split())
    total = len(prediction) - n + 1
    if total < 2:
        return 0.0
    return 1 - len({prediction[start : start + n] for start in range(total)}) / total


def language_switch(prediction: str, reference: str) -> bool:
    """Whether the answer came in another script than the reference: one mostly Chinese, the other mostly not."""
    found, wanted = _han_share(prediction), _han_share(reference)
    if found is None or wanted is None:
        return False
    return (wanted >= 0.5 and found <= 0.2) or (wanted <= 0.2 and found >= 0.5)


def _han_share(text: str) -> float | None:
    """Share of Chinese among the words (a character, or a word of letters); None without any letter."""
    han = han_count(text)
    other = sum(1 for word in latin_words(text) if not word.isdigit())
    return han / (han + other) if han + other else None

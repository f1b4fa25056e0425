"""Whether an answer stands in its passage: word for word, or with its numbers, its names and most of its words.

A free answer is held to three measures. Every number in it is a number of the passage, in whatever way both are written
(2 years, 两年). Every name is there: capitals inside a sentence, terms in quotation marks, words in Latin letters in a
Chinese text, whatever holds digits or signs like a path. It denies nothing where the passage denies nothing. And of its
other words, those apart that every text has and those of the question, at least `COVERAGE` are there: by their stem in
English, in Chinese by characters that stand beside the same neighbour.

On 900 pairs of CMRC 2018 (`scripts/bench/standing.py`) all rules together refuse 0.7 % of the right answers, and this
one 1.6 % of them in whole sentences; of answers to other questions 0.9 % are taken, in whole sentences 0.7 %. Nothing
here finds two true things joined into a false one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from eval.metrics.digits import Quantity, plain, quantities
from eval.metrics.numerals import numerals
from eval.metrics.text import is_han, normalize
from eval.selfmade.units import units

COVERAGE = 0.7
"""Least share of what an answer adds to its question, in words or Chinese characters, that stands in the passage."""
Fault = Literal["number_not_there", "name_not_there", "words_not_there"]

_STOP_WORDS = """a an the and or but nor so if then than that this these those there here it its itself they them
    their he she
    his her him you your we our us i me my one ones some any each every all both either neither not no yes of in
    on at by for from to into onto with without within as is are was were be been being am do does did done has
    have had having can could may might must shall should will would about above after again also always because
    before below between during how however just like more most much many need needs only other over own same such
    too under until up very what when where which while who whom whose why use used uses using via per etc e g out
    off down get gets make makes made answer means mean called named known include includes including included
    allow allows first second"""
_STOP = frozenset(_STOP_WORDS.split())
"""Words that every English text has; they say nothing about where an answer stands."""
_FUNCTION = frozenset(
    "的了是在和与及或而也就都还把被给对从到向由为于之其所以并且则若如果因此这那哪些个们你我他她它会能可应该需要请吗呢吧啊么即等用让使"
    "不没有无中上下里内外时后前将已又再很更最只"
)
"""The same in Chinese."""
_NEGATION = re.compile(
    r"\b(?:not?|never|none|cannot|without|neither|nor)\b|n['’]t\b|[不没无未非勿莫]|禁止", re.IGNORECASE
)
_NAME = re.compile(r"(?<=[^\W\d_]|[,;:)])[ \t]+([A-Z][\w'’-]*)")
_QUOTED = re.compile(r"《([^》]{1,60})》|「([^」]{1,60})」|“([^”]{1,60})”|\"([^\"\n]{1,60})\"|`([^`\n]{1,60})`")
_TOKEN = re.compile(r"[A-Za-z0-9][\w./\\@:+-]*[A-Za-z0-9]", re.ASCII)
_IS_SIGNED = re.compile(r"[_\\@]|\w[./:]\w|^(?=.*\d)(?=.*[A-Za-z])", re.ASCII)
_AMOUNT = re.compile(r"[\d.,:/+-]+|\d[\d.,]*-?[A-Za-z]+")
"""A number, or one with its unit: held to the numbers of the passage."""
_LATIN = re.compile(r"[A-Za-z][A-Za-z0-9.+#-]*[A-Za-z0-9+#]|[A-Za-z]")
_DIGITS = re.compile(r"\d+")
_POINT = re.compile(r"^[^\S\n]*(?:\(?\d{1,2}[.)、）]|[①-⑳])\s*", re.MULTILINE)
_ENDINGS = ("ingly", "edly", "ations", "ation", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "ly", "s", "e")


@dataclass(frozen=True)
class Standing:
    """How an answer stands in its passage."""

    quoted: bool
    """Word for word, spacing, case and punctuation aside."""
    fault: Fault | None
    """What is not there; None where it stands."""
    found: str = ""
    """The number, the name or the words that are not there."""
    coverage: float = 1.0
    """Share of its content that is there."""


def standing(answer: str, passage: str, question: str = "") -> Standing:
    """How an answer stands in a passage.

    Args:
        answer: a free text.
        passage: everything that it may rely on.
        question: what it answers; words that it takes over from there are no evidence, for or against it.
    """
    said = normalize(answer)
    if said and said in normalize(passage):
        return Standing(quoted=True, fault=None)
    if missing_number := _missing_number(answer, passage):
        return Standing(False, "number_not_there", missing_number)
    if missing_name := _missing_name(answer, passage):
        return Standing(False, "name_not_there", missing_name)
    if (no := _NEGATION.search(answer)) and not _NEGATION.search(passage):
        return Standing(False, "words_not_there", no[0])
    share, words = coverage(answer, passage, question)
    if share < COVERAGE:
        return Standing(False, "words_not_there", " ".join(words[:8]), share)
    return Standing(False, None, coverage=share)


def coverage(text: str, passage: str, known: str = "") -> tuple[float, list[str]]:
    """(share of a text's content that stands in a passage, what does not); 0 for a text without content.

    What stands in `known`, too, does not count, unless nothing else is said.
    """
    there, before, said = _Said(passage), _Said(known), units(text)
    content = [
        place for place, unit in enumerate(said)
        if not (unit in _FUNCTION if len(unit) == 1 and is_han(unit) else unit in _STOP or unit.isdigit())
    ]  # fmt: skip
    added = [place for place in content if not before.holds(said, place)] or content
    missing = [said[place] for place in added if not there.holds(said, place)]
    return (1 - len(missing) / len(added) if added else 0.0), missing


class _Said:
    """What a text says, to look words up in it."""

    def __init__(self, text: str) -> None:
        there = units(text)
        self._stems = {_stem(unit) for unit in there}
        self._pairs = set(pairwise(there))

    def holds(self, said: list[str], place: int) -> bool:
        """Whether a unit stands here, too; a Chinese character beside the same neighbour, as far as it has any."""
        unit = said[place]
        if not (len(unit) == 1 and is_han(unit)):
            return _stem(unit) in self._stems
        before = said[place - 1] if place else ""
        after = said[place + 1] if place + 1 < len(said) else ""
        if (before, unit) in self._pairs or (unit, after) in self._pairs:
            return True
        alone = all(not is_han(n[:1] or "x") or n in _FUNCTION for n in (before, after))
        return alone and unit in self._stems


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    """A word without what English adds to it: `charges`, `charged` and `charging` are one."""
    if not word.isascii() or not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def _missing_number(answer: str, passage: str) -> str:
    """The first number in an answer that the passage lacks; the numbers of the answer's points are none."""
    there = {one.value for one in _quantities(passage)}
    digits = set(_DIGITS.findall(plain(passage)))
    flat = plain(_POINT.sub("", answer))
    for one in _quantities(flat):
        written = flat[one.start : one.end]
        runs = _DIGITS.findall(written)
        # Ranges, dates, times and telephone numbers have no value: their digits must be there.
        # A numeral may be a part of a name (三一堂), which stands there as it is.
        literally = digits.issuperset(runs) if runs else written.strip() in plain(passage)
        if not literally and (one.value is None or one.value not in there):
            return written.strip()
    return ""


@lru_cache(maxsize=1024)
def _quantities(text: str) -> tuple[Quantity, ...]:
    """All numbers in a text, in digits and in words."""
    flat = plain(text)
    return (*quantities(flat), *numerals(flat))


def _missing_name(answer: str, passage: str) -> str:
    """The first name in an answer that the passage lacks."""
    there, words = normalize(passage), {_stem(unit) for unit in units(passage)}
    quoted = [next(filter(None, match.groups())) for match in _QUOTED.finditer(answer)]
    signed = [t for t in _TOKEN.findall(answer) if _IS_SIGNED.search(t) and not _AMOUNT.fullmatch(t)]
    for name in (*quoted, *signed):
        if (flat := normalize(name)) and flat not in there:
            return name
    chinese = any(map(is_han, answer))
    named = _LATIN.findall(answer) if chinese else _NAME.findall(answer)
    for name in named:
        if any(_stem(unit) not in words and unit not in _STOP for unit in units(name)) and normalize(name) not in there:
            return str(name)
    return ""

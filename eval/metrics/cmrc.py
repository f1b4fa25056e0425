"""F1 and exact match of CMRC 2018, bit for bit as its official script computes them; DRCD is scored the same way.

Source: `ymcui/cmrc2018`, `baseline/cmrc2018_evaluate.py`. Its oddities are kept, because published figures have them:
`……` stands in its punctuation list as one entry, so that a single `…` is never dropped; the opening `‘` is not listed;
the overlap is the longest common *substring* of tokens, so that reordered words count once.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_DROPPED = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_SEGMENT = re.compile("[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+")
_MAY_END = re.compile(r"\.[^\w\s.]*\s")
_PRIVATE_USE = 0xF0000
"""Tokens longer than a character become characters from here on, so that `str` searches token sequences at C speed."""
_ELSEWHERE = chr(_PRIVATE_USE - 1)
"""Stands for every such token of a prediction that the answer does not hold: there may be more than characters."""


_ABBREVIATIONS = {
    "mr", "mrs", "ms", "dr", "prof", "messrs", "sr", "jr", "st", "lt", "maj", "col", "gen", "sen", "rep", "co",
    "corp", "inc", "ltd", "bros", "vs", "ave", "ft", "jan", "feb", "aug", "sep", "sept", "oct", "nov", "dec",
    "tues", "wed", "fri", "u.s", "u.s.a", "u.k", "u.n", "d.c", "n.y", "a.m", "p.m", "ph.d", "m.b.a", "a.d", "adm",
    "calif", "mass", "mich", "minn", "va", "wash",
    *"cdefghklmnprstvw",
}  # fmt: skip
"""Behind these a full stop ends no sentence; those of NLTK's English model that answers are likely to hold."""


@functools.cache
def _sentence_tokenizer():  # type: ignore[no-untyped-def]  # NLTK has no types
    """NLTK's splitter (Punkt) without its trained model: that is a download, and scores would differ by machine."""
    from nltk import redos
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    # NLTK gives up on a text after five seconds of the clock: on a busy machine, an answer of 100,000 characters.
    redos.DEFAULT_TIMEOUT = None
    parameters = PunktParameters()
    parameters.abbrev_types = _ABBREVIATIONS
    return PunktSentenceTokenizer(parameters)


@functools.cache
def _word_tokenizer():  # type: ignore[no-untyped-def]  # NLTK has no types
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer()


@functools.lru_cache(maxsize=65536)
def _words(run: str) -> tuple[str, ...]:
    """NLTK's `word_tokenize`: sentences first, because only at the end of one a full stop is a token of its own."""
    if run.isascii() and run.isdigit():
        return (run,)
    sentences = _sentence_tokenizer().tokenize(run) if _MAY_END.search(run) else [run]
    return tuple(token for sentence in sentences for token in _word_tokenizer().tokenize(sentence))


def strip_punctuation(text: str) -> str:
    """Lower case, outer white space and the official punctuation gone; inner spaces stay."""
    return text.lower().strip().translate(_DROPPED)


def segment(text: str) -> list[str]:
    """Tokens of a text: each character of U+4E00..U+9FA5 alone, all other runs by NLTK's word tokenizer."""
    tokens: list[str] = []
    for piece in _SEGMENT.findall(strip_punctuation(text)):
        if len(piece) == 1 and "\u4e00" <= piece <= "\u9fa5":
            tokens.append(piece)
        else:
            tokens.extend(_words(piece))
    return tokens


def _encode(tokens: Sequence[str], codes: Mapping[str, str]) -> str:
    return "".join(token if len(token) == 1 else codes.get(token, _ELSEWHERE) for token in tokens)


def _longest_common_substring(first: str, second: str) -> int:
    """Length of the longest common substring: each start only has to beat the best so far."""
    if len(first) > len(second):
        first, second = second, first
    best = 0
    for start in range(len(first)):
        if start + best >= len(first):
            break
        while start + best < len(first) and first[start : start + best + 1] in second:
            best += 1
    return best


def cmrc_f1(prediction: str, answers: Sequence[str]) -> float:
    """F1 in 0..1, the best over the answers.

    >>> round(cmrc_f1("光荣和ω-force", ["光荣"]), 6)
    0.666667
    """
    found = segment(prediction)
    best = 0.0
    for answer in answers:
        wanted = segment(answer)
        longer = dict.fromkeys(token for token in wanted if len(token) > 1)
        codes = {token: chr(_PRIVATE_USE + number) for number, token in enumerate(longer)}
        common = _longest_common_substring(_encode(found, codes), _encode(wanted, codes))
        if common:
            precision, recall = common / len(found), common / len(wanted)
            best = max(best, (2 * precision * recall) / (precision + recall))
    return best


def cmrc_em(prediction: str, answers: Sequence[str]) -> float:
    """1.0 when the prediction equals one of the answers, the official punctuation aside."""
    found = strip_punctuation(prediction)
    return float(any(strip_punctuation(answer) == found for answer in answers))


@dataclass(frozen=True)
class CorpusScore:
    """Scores of a whole set in percent; `missing` predictions count as 0."""

    f1: float
    em: float
    total: int
    missing: int


def score_corpus(answers: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> CorpusScore:
    """Official corpus scores: 100 x the mean over every question of `answers`.

    Args:
        answers: question id to its gold answers.
        predictions: question id to the predicted answer; ids may be missing.
    """
    f1 = em = 0.0
    for query, golds in answers.items():
        if query in predictions:
            f1 += cmrc_f1(predictions[query], golds)
            em += cmrc_em(predictions[query], golds)
    total = len(answers)
    missing = sum(query not in predictions for query in answers)
    return CorpusScore(100.0 * f1 / total, 100.0 * em / total, total, missing)

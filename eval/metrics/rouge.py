"""ROUGE for Chinese: over characters (primary) and over jieba words (secondary).

n-gram counts are clipped (Lin 2004), F = 2PR/(P+R), ROUGE-L comes from the longest common subsequence. An empty
hypothesis scores 0. Upper and lower case differ, white space is no token, punctuation is one. Equals `rouge_score` when
that is given a character tokenizer; `rouge_score`'s own tokenizer drops every Chinese character.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from configs.cache.folder import private_cache

Tokenize = Callable[[str], Sequence[str]]

_BLOCK = 4_000
"""Characters that jieba is given at once: its time grows with their square where one character is repeated."""


def characters(text: str) -> list[str]:
    """Every character that is not white space."""
    return [char for char in text if not char.isspace()]


@functools.cache
def _jieba() -> Any:
    with warnings.catch_warnings():
        # Of pkg_resources, whose end setuptools announce, and of its escapes, where it is compiled only now.
        warnings.simplefilter("ignore")
        import jieba

    jieba.setLogLevel(logging.WARNING)
    # By default in the temporary folder under one name for all users, where a planted file is believed.
    jieba.dt.tmp_dir = str(private_cache("words"))
    jieba.dt.cache_file = f"jieba-{jieba.__version__}.cache"
    return jieba


@functools.lru_cache(maxsize=16384)
def words(text: str) -> tuple[str, ...]:
    """jieba's words, white space dropped; they move with its dictionary, see `jieba_version`."""
    blocks = (text[start : start + _BLOCK] for start in range(0, len(text), _BLOCK))
    return tuple(word for block in blocks for word in _jieba().lcut(block) if not word.isspace())


def jieba_version() -> str:
    """Version of jieba and of the dictionary that comes with it, for the report."""
    return str(_jieba().__version__)


def _f_measure(common: int, hypothesis: int, reference: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / hypothesis, common / reference
    return 2 * precision * recall / (precision + recall)


def _rouge_n(hypothesis: Sequence[str], reference: Sequence[str], n: int) -> float:
    found = Counter(tuple(hypothesis[start : start + n]) for start in range(len(hypothesis) - n + 1))
    wanted = Counter(tuple(reference[start : start + n]) for start in range(len(reference) - n + 1))
    return _f_measure((found & wanted).total(), found.total(), wanted.total())


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, bit-parallel: one big-integer step per token (Hyyrö 2004)."""
    first, second = sorted((first, second), key=len)  # an integer has as many bits as the first has tokens
    positions: dict[str, int] = {}
    for index, token in enumerate(first):
        positions[token] = positions.get(token, 0) | (1 << index)
    everything = (1 << len(first)) - 1
    row = everything
    for token in second:
        matches = row & positions.get(token, 0)
        row = ((row + matches) | (row - matches)) & everything
    return len(first) - row.bit_count()


def rouge(hypothesis: str, reference: str, tokenize: Tokenize = characters) -> dict[str, float]:
    """`rouge1`, `rouge2` and `rougeL`, each F in 0..1, against one reference.

    >>> rouge("今天天气很好我们去公园", "我们去公园今天天气很好")["rouge2"]
    0.9
    """
    found, wanted = tokenize(hypothesis), tokenize(reference)
    return {
        "rouge1": _rouge_n(found, wanted, 1),
        "rouge2": _rouge_n(found, wanted, 2),
        "rougeL": _f_measure(lcs_length(found, wanted), len(found), len(wanted)),
    }


def best_rouge(hypothesis: str, references: Sequence[str], tokenize: Tokenize = characters) -> dict[str, float]:
    """Per measure the best over several references."""
    scores = [rouge(hypothesis, reference, tokenize) for reference in references]
    return {name: max(score[name] for score in scores) for name in ("rouge1", "rouge2", "rougeL")}

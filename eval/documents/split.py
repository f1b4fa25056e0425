"""Which documents are held out: whole ones, with everything that is nearly the same document.

The order in which documents are taken follows from their names alone, so that one that is added later moves few of the
others to the other side.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from eval.documents.passages import Passage
from eval.selfmade.units import grams, units

_GRAM_WORDS = 8
_KEPT_OF = 8
"""One of so many stretches is looked at, chosen by its hash: the same ones in every document."""
_NEAR = 0.5
_COMMON = 30
"""A stretch of more documents than this is a notice that stands in all of them."""


@dataclass(frozen=True)
class Split:
    """What is held out."""

    held_out: frozenset[str]
    """Units that are held out: names of documents, or of sections."""
    by: str
    """`document`, or `section` where there is one document only, or copies of one."""
    copies: tuple[tuple[str, ...], ...] = ()
    """Documents that are nearly the same, and stay on one side."""

    def holds(self, passage: Passage) -> bool:
        """Whether a passage is held out."""
        return (passage.document if self.by == "document" else passage.section) in self.held_out


def split(passages: Sequence[Passage], share: float, seed: int, every: Sequence[Passage] | None = None) -> Split:
    """Holds out about this share of the passages.

    Args:
        passages: those that are asked about.
        share: from 0 to 1; at least one document where it is above 0 and two are there, and never all of them.
        seed: another one holds out others.
        every: all passages of the documents, by which copies are told, where not all are asked about.
    """
    names = list(dict.fromkeys(passage.document for passage in passages))
    groups = _near_copies(every or passages, names)
    copies = tuple(tuple(group) for group in groups if len(group) > 1)
    if len(groups) > 1:
        counts = Counter(passage.document for passage in passages)
        return Split(_taken(groups, counts, share, seed), "document", copies)
    sections = [[section] for section in dict.fromkeys(passage.section for passage in passages)]
    counts = Counter(passage.section for passage in passages)
    return Split(_taken(sections, counts, share, seed), "section", copies)


def _taken(groups: Sequence[Sequence[str]], counts: Mapping[str, int], share: float, seed: int) -> frozenset[str]:
    wanted = share * sum(counts.values())
    if not wanted or len(groups) < 2:
        return frozenset()
    ranked = sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {min(group)}".encode()).digest())
    taken: list[str] = []
    size = 0
    for group in ranked[:-1]:
        more = sum(counts[name] for name in group)
        # The one that comes nearest: a document far too large is passed by as long as another may do.
        if size and size + more - wanted > wanted - size:
            continue
        if not size and more > max(2 * wanted, 1) and group is not ranked[-2]:
            continue
        taken += group
        size += more
        if size >= wanted:
            break
    if not taken:
        taken += min(ranked, key=lambda group: sum(counts[name] for name in group))
    return frozenset(taken)


def _near_copies(passages: Sequence[Passage], names: Sequence[str]) -> list[list[str]]:
    """Groups of documents of which one shares half of its stretches of eight words with another."""
    stretches: dict[str, set[int]] = {name: set() for name in names}
    for passage in (one for one in passages if one.document in stretches):
        stretches[passage.document] |= {
            code for gram in grams(units(passage.text), _GRAM_WORDS) if not (code := _code(gram)) % _KEPT_OF
        }
    holders: dict[int, list[str]] = defaultdict(list)
    for name in names:
        for code in stretches[name]:
            holders[code].append(name)
    common = Counter(pair for held in holders.values() if 1 < len(held) <= _COMMON for pair in combinations(held, 2))
    group = {name: [name] for name in names}
    for (first, second), shared in common.items():
        least = min(len(stretches[first]), len(stretches[second]))
        if shared >= _NEAR * least and group[first] is not group[second]:
            group[first] += group[second]
            for name in group[second]:
                group[name] = group[first]
    return list({id(members): members for members in (group[name] for name in names)}.values())


def _code(gram: tuple[str, ...]) -> int:
    """A hash that is the same in every process, unlike Python's own of texts."""
    return int.from_bytes(hashlib.blake2b("\0".join(gram).encode("utf-8", "replace"), digest_size=8).digest(), "big")

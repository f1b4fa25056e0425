"""What a self-made row may not hold, stretches of held-out rows and tasks, and what it may not repeat: other rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from eval.selfmade.units import grams, units

LEAK_WORDS = 13
"""Words in a row that make a leak (Brown et al. 2020); twenty characters of Chinese."""
_NEAR_WORDS = 3
_NEAR_SHARE = 0.7
_PHRASE_SHARE = 0.01
_PHRASE_ITEMS = 5


class Asked:
    """Texts that are asked elsewhere: n-grams of them, and the short ones whole."""

    def __init__(self) -> None:
        self._grams: set[int] = set()
        self._short: set[tuple[str, ...]] = set()

    def add(self, items: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Adds items that are asked alike, each with what it belongs to (such as its passage) and its texts.

        A stretch that many of them share is a phrase of the prompt, such as "answer with a number", and no leak.
        """
        found: dict[int, set[str]] = defaultdict(set)
        owners: set[str] = set()
        for owner, texts in items:
            owners.add(owner)
            for text in texts:
                said = units(text)
                stretches = {hash(gram) for gram in grams(said, LEAK_WORDS)}
                for stretch in stretches:
                    found[stretch].add(owner)
                if not stretches:
                    self._short.add(tuple(said))
        most = max(_PHRASE_ITEMS, _PHRASE_SHARE * len(owners))
        self._grams |= {gram for gram, among in found.items() if len(among) < most}

    def asks(self, question: str) -> bool:
        """Whether a question has a stretch in common with a text, or is one of the short ones."""
        return tuple(units(question)) in self._short or self.holds(question)

    def holds(self, text: str) -> bool:
        """Whether a text has a stretch in common with what was added."""
        return any(hash(gram) in self._grams for gram in grams(units(text), LEAK_WORDS))


class Earlier:
    """Texts that were seen, to find what says nearly the same.

    Args:
        common: a stretch that more texts hold than this leads to none of them, so that the thousandth question that
            begins with "what is the" is not held against a thousand others; None follows every stretch.
    """

    def __init__(self, common: int | None = None) -> None:
        self._common = common
        self._whole: set[tuple[str, ...]] = set()
        self._stretches: list[set[tuple[str, ...]]] = []
        self._holders: dict[tuple[str, ...], list[int]] = defaultdict(list)

    def is_new(self, text: str) -> bool:
        """Whether no earlier text is nearly this one; it is an earlier one from now on, if it is new.

        Nearly the same: seven of ten stretches of three words of the shorter one stand in the other.
        """
        said = tuple(units(text))
        stretches = set(grams(said, _NEAR_WORDS))
        if said in self._whole or any(self._is_near(stretches, holder) for holder in self._candidates(stretches)):
            return False
        self._whole.add(said)
        for stretch in stretches:
            self._holders[stretch].append(len(self._stretches))
        self._stretches.append(stretches)
        return True

    def _candidates(self, stretches: set[tuple[str, ...]]) -> set[int]:
        held = (self._holders.get(stretch, ()) for stretch in stretches)
        return {
            holder for holders in held if self._common is None or len(holders) <= self._common for holder in holders
        }

    def _is_near(self, stretches: set[tuple[str, ...]], holder: int) -> bool:
        other = self._stretches[holder]
        return len(stretches & other) >= _NEAR_SHARE * min(len(stretches), len(other))

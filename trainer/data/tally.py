"""How often each rule applied, to which rows, and what was found there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from trainer.data.rules import NOT_A_FAULT, RULES, WAYS_OUT, is_drop


@dataclass
class Tally:
    """How often each rule applied, and to which rows."""

    counts: Counter[str] = field(default_factory=Counter)
    places: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    found: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """What a rule found, such as `role seller`, and how often."""
    faulty: set[str] = field(default_factory=set)
    """Places of the rows that were dropped for a fault of theirs."""

    PLACES_KEPT = 20
    FOUND_KEPT = 50

    def add(self, reason: str, place: str, dropped: bool = True, found: str = "") -> None:
        """Counts a rule of RULES for a row."""
        self.counts[reason] += 1
        if len(self.places[reason]) < self.PLACES_KEPT:
            self.places[reason].append(place)
        if found and (len(self.found[reason]) < self.FOUND_KEPT or found in self.found[reason]):
            self.found[reason][found] += 1
        if dropped and reason not in NOT_A_FAULT:
            self.faulty.add(place)

    def found_in(self, reason: str, most: int = 4) -> list[str]:
        """What a rule found most often, with counts: `role seller (30)`."""
        return [f"{what} ({count})" for what, count in self.found[reason].most_common(most)]


def in_words(reasons: Iterable[tuple[str, int, list[str], list[str]]]) -> tuple[str, str]:
    """(what was dropped and why, what to do about it) for (reason, count, places, found), the most frequent first."""
    drops = sorted((r for r in reasons if is_drop(RULES[r[0]])), key=lambda r: -r[1])
    said = []
    for reason, count, places, found in drops:
        rows = f"{', '.join(places[:3])}{', …' if count > 3 else ''}"
        why = RULES[reason].partition(": ")[2]
        if found:
            why = f"{why}, found in them: {', '.join(found[:3])}"
        said.append(f"{reason} found {count} time{'' if count == 1 else 's'} ({rows}): {why}")
    ways = dict.fromkeys(WAYS_OUT[reason] for reason, *_ in drops if reason in WAYS_OUT)
    return "; ".join(said), "; ".join(ways) or "mend those rows"

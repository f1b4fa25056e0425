"""From a recipe's sources to the conversations that are trained and those that are held out."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from configs.errors import DataError
from configs.schema import RunConfig, SourceConfig
from configs.tables import BadRow, RawRow
from trainer.data.cleaning import NOT_A_FAULT, Dropped, clean, identity, question_identity
from trainer.data.layouts import BadLayout, Conversation, detect_layout, to_conversation
from trainer.data.sources import read_source


@dataclass
class Tally:
    """How often each rule applied, and to which rows."""

    counts: Counter[str] = field(default_factory=Counter)
    places: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    faulty: set[str] = field(default_factory=set)
    """Places of the rows that were dropped for a fault of theirs."""

    PLACES_KEPT = 20

    def add(self, reason: str, place: str, dropped: bool = True) -> None:
        self.counts[reason] += 1
        if len(self.places[reason]) < self.PLACES_KEPT:
            self.places[reason].append(place)
        if dropped and reason not in NOT_A_FAULT:
            self.faulty.add(place)


@dataclass(frozen=True)
class SourceCount:
    """What one source gave."""

    path: str
    layout: str
    read: int
    """Rows in it, or in the sample that was asked for."""
    usable: int
    """Conversations left after cleaning and without duplicates."""
    used: int
    """Conversations in training after weight or ratio; one that is repeated counts each time."""


@dataclass(frozen=True)
class Corpus:
    """The conversations of a run; `copies[i]` says how often `train[i]` is used."""

    train: list[Conversation]
    copies: list[int]
    heldout: list[Conversation]
    sources: list[SourceCount]
    read: int


def gather(config: RunConfig, tally: Tally) -> Corpus:
    """Reads, cleans, removes duplicates, splits by conversation, then weights and mixes.

    Raises:
        DataError: a source cannot be read, or nothing usable is left; every row that was dropped is in `tally`.
    """
    data, seed = config.data, config.seed
    seen: set[bytes] = set()
    read = 0

    def load(source: SourceConfig) -> tuple[list[Conversation], str, int]:
        nonlocal read
        rows = read_source(source, seed=seed, hub=config.hub, offline=config.offline)
        conversations, layout = _clean_all(rows, source, config, tally)
        read += len(rows)
        return _without_duplicates(conversations, seen, tally), layout, len(rows)

    # The held-out file comes first, so that of two equal conversations the held-out one stays.
    heldout = load(data.heldout)[0] if data.heldout else []
    loaded = [load(source) for source in data.sources]
    if data.heldout is None:
        groups = _split([c for conversations, _, _ in loaded for c in conversations], config)
    else:
        groups = {question_identity(c) for c in heldout}
    train: list[Conversation] = []
    copies: list[int] = []
    counts: list[SourceCount] = []
    for source, (conversations, layout, rows) in zip(data.sources, loaded, strict=True):
        kept = [c for c in conversations if question_identity(c) not in groups]
        if data.heldout is None:
            heldout += [c for c in conversations if question_identity(c) in groups]
        else:
            _count_leaks(conversations, groups, tally)
        times = repeats(len(kept), source.weight, random.Random(f"{seed} weight {source.path}"))
        train += [c for c, n in zip(kept, times, strict=True) if n]
        copies += [n for n in times if n]
        counts.append(SourceCount(source.path, layout, rows, len(conversations), sum(times)))

    if data.replay:
        conversations, layout, rows = load(data.replay.source)
        _count_leaks(conversations, groups, tally)
        kept = [c for c in conversations if question_identity(c) not in groups]
        wanted = min(len(kept), round(data.replay.ratio * sum(copies)))
        replayed = random.Random(f"{seed} replay").sample(kept, wanted)
        train += replayed
        copies += [1] * len(replayed)
        counts.append(SourceCount(data.replay.source.path, f"{layout}, replay", rows, len(conversations), wanted))
    if not train:
        found = ", ".join(f"{reason} {n}" for reason, n in tally.counts.most_common(5)) or "nothing was read"
        raise DataError(
            f"no conversation is left to train on out of {read} rows ({found})",
            "look at the first rows named above in your data; `tuneserve check` shows them",
        )
    return Corpus(train, copies, heldout, counts, read)


def repeats(n: int, weight: float, rng: random.Random) -> list[int]:
    """How often each of `n` conversations is used at a weight: 2.5 gives all of them twice and half a third time."""
    whole = int(weight)
    extra = set(rng.sample(range(n), round((weight - whole) * n)))
    return [whole + (i in extra) for i in range(n)]


def _clean_all(
    rows: list[RawRow | BadRow], source: SourceConfig, config: RunConfig, tally: Tally
) -> tuple[list[Conversation], str]:
    good = [row for row in rows if isinstance(row, RawRow)]
    layout = detect_layout(good, source)
    conversations: list[Conversation] = []
    for row in rows:
        if isinstance(row, BadRow):
            tally.add(row.reason, row.place)
            continue
        try:
            conversation = to_conversation(row, layout, source.columns)
            cleaned = clean(conversation, system=config.data.system, thinking=config.thinking)
        except (BadLayout, Dropped) as dropped:
            tally.add(dropped.reason, row.place)
            continue
        for repair in cleaned.repairs:
            tally.add(repair, row.place, dropped=False)
        conversations.append(cleaned.conversation)
    return conversations, layout


def _without_duplicates(conversations: list[Conversation], seen: set[bytes], tally: Tally) -> list[Conversation]:
    kept = []
    for conversation in conversations:
        key = identity(conversation)
        if key in seen:
            tally.add("duplicate", conversation.place)
        else:
            seen.add(key)
            kept.append(conversation)
    return kept


def _split(conversations: list[Conversation], config: RunConfig) -> set[bytes]:
    """The questions that are held out: conversations with the same first question always fall on the same side."""
    wanted = min(round(config.data.eval_split * len(conversations)), config.data.max_heldout)
    if wanted == 0 and config.data.eval_split > 0 and len(conversations) > 1:
        wanted = 1
    groups: Counter[bytes] = Counter(question_identity(c) for c in conversations)
    names = sorted(groups)
    random.Random(f"{config.seed} split").shuffle(names)
    chosen: set[bytes] = set()
    count = 0
    for name in names:
        if count + groups[name] <= wanted:
            chosen.add(name)
            count += groups[name]
        if count == wanted:
            break
    return chosen


def _count_leaks(conversations: list[Conversation], groups: set[bytes], tally: Tally) -> None:
    for conversation in conversations:
        if question_identity(conversation) in groups:
            tally.add("leak", conversation.place)

"""From a recipe's sources to the conversations that are trained and those that are held out."""

from __future__ import annotations

import difflib
import random
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace

from configs.errors import DataError
from configs.recipe.schema import RunConfig, SourceConfig
from configs.tables import BadRow, RawRow
from configs.tables.columns import part_of
from configs.tables.raw import looks_like_a_row
from trainer.data.cleaning import Dropped, clean
from trainer.data.dataset_info import DataFile
from trainer.data.identity import Identity, identify
from trainer.data.layouts import Conversation, RowReader
from trainer.data.past import asked_before
from trainer.data.sources import read_source, source_files
from trainer.data.tally import Tally, in_words
from trainer.data.template import reasoning_of
from trainer.data.use import FileColumns, FileUse, stop_at_unused
from trainer.data.values import BadLayout, some

Known = tuple[Conversation, Identity]


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
    columns: list[FileColumns]
    """What became of the columns of each file."""
    asked: frozenset[bytes]
    """Digests of what is asked in training, and was in that of the runs before this one."""
    read: int
    answers: int
    """Answers in training, repetitions not counted."""
    answers_with_reasoning: int
    """Of them, those that have a reasoning part which is trained."""


def gather(config: RunConfig, tally: Tally) -> Corpus:
    """Reads, cleans, removes duplicates, splits by conversation, then weights and mixes.

    Raises:
        DataError: a source cannot be read, a text in it would be left out without a word, or nothing usable is left;
            every row that was dropped is in `tally`.
    """
    data, seed = config.data, config.seed
    seen: set[bytes] = set()
    files: list[FileUse] = []
    names: Counter[str] = Counter()
    read = 0

    def load(source: SourceConfig) -> tuple[list[Known], str, int]:
        nonlocal read
        rows = read_source(source, seed=seed, hub=config.hub, offline=config.offline)
        conversations, found = _clean_all(rows, source, config, tally)
        conversations = _places_apart(conversations, names)
        read += len(rows)
        files.extend(found)
        layouts = Counter(layout for file in found for layout in file.layouts.elements())
        return _without_duplicates(conversations, seen, tally), ", ".join(layouts), len(rows)

    # The held-out file comes first, so that of two equal conversations the held-out one stays.
    heldout = load(data.heldout)[0] if data.heldout else []
    loaded = [load(source) for source in data.sources]
    general = data.replay.given if data.replay else None
    replayed = load(general) if general else None
    stop_at_unused(files)
    before = asked_before(config)
    if data.heldout is None:
        groups = _split([c for conversations, _, _ in loaded for c in conversations], config, before)
    else:
        for conversation, known in heldout:
            if known.asked in before:
                tally.add("trained_before", conversation.place)
        heldout = [one for one in heldout if one[1].asked not in before]
        groups = {known.asked for _, known in heldout}
    train: list[Conversation] = []
    asked = set(before)
    copies: list[int] = []
    counts: list[SourceCount] = []
    for source, (conversations, layout, rows) in zip(data.sources, loaded, strict=True):
        kept = [c for c, known in conversations if not _asks(known, groups)]
        asked |= _asked_in(conversations, groups)
        if data.heldout is None:
            heldout += [c for c in conversations if c[1].asked in groups]
            # What is left asks in its middle what a held-out conversation asks at its end.
            _count_leaks([c for c in conversations if c[1].asked not in groups], groups, tally)
        else:
            _count_leaks(conversations, groups, tally)
        times = repeats(len(kept), source.weight, random.Random(f"{seed} weight {source.path}"))
        train += [c for c, n in zip(kept, times, strict=True) if n]
        copies += [n for n in times if n]
        counts.append(SourceCount(source.path, layout, rows, len(conversations), sum(times)))

    if data.replay and general and replayed:
        conversations, layout, rows = replayed
        _count_leaks(conversations, groups, tally)
        kept = [c for c, known in conversations if not _asks(known, groups)]
        asked |= _asked_in(conversations, groups)
        wanted = min(len(kept), round(data.replay.ratio * sum(copies)))
        train += random.Random(f"{seed} replay").sample(kept, wanted)
        copies += [1] * wanted
        counts.append(SourceCount(general.path, f"{layout}, replay", rows, len(conversations), wanted))
    if not train:
        found, mend = in_words((r, n, tally.places[r], tally.found_in(r)) for r, n in tally.counts.items())
        raise DataError(f"no conversation is left to train on out of {read} rows: {found or 'nothing was read'}", mend)
    columns = [file.columns() for file in files]
    answers = [m for c in train for i, m in enumerate(c.messages) if m["role"] == "assistant" and i not in c.untrained]
    thought = sum(bool(reasoning_of(m)) for m in answers)
    held_out = [c for c, _ in heldout]
    return Corpus(train, copies, held_out, counts, columns, frozenset(asked), read, len(answers), thought)


def repeats(n: int, weight: float, rng: random.Random) -> list[int]:
    """How often each of `n` conversations is used at a weight: 2.5 gives all of them twice and half a third time."""
    whole = int(weight)
    extra = set(rng.sample(range(n), round((weight - whole) * n)))
    return [whole + (i in extra) for i in range(n)]


def _places_apart(conversations: list[Known], names: Counter[str]) -> list[Known]:
    """Conversations of a source, each at a place of its own: `2/train.jsonl:7` is of the second file of that name.

    Args:
        names: of the files of earlier sources, and how many had each; those of this one are added.
    """
    apart, own = [], set()
    for conversation, known in conversations:
        name = conversation.place.rpartition(":")[0]
        own.add(name)
        number = f"{names[name] + 1}/" if names[name] else ""
        apart.append((replace(conversation, place=f"{number}{conversation.place}"), known))
    names.update(own)
    return apart


def _clean_all(
    rows: list[RawRow | BadRow], source: SourceConfig, config: RunConfig, tally: Tally
) -> tuple[list[Known], list[FileUse]]:
    """The usable conversations among the rows of a source, and what became of the columns of each of its files."""
    ignored = frozenset(config.data.ignore_columns)
    described = {about.name: about for _, about in source_files(source)}
    readers: dict[str, RowReader] = {}
    unknown: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    firsts: dict[str, RawRow] = {}
    conversations: list[Known] = []
    keep_repeats = config.data.repeated_prompts == "keep"
    for row in rows:
        if isinstance(row, BadRow):
            tally.add(row.reason, row.place, found=row.found)
            continue
        name = row.place.rpartition(":")[0]
        reader = readers.get(name)
        if reader is None:
            reader = readers[name] = RowReader(source, described.get(name) or DataFile(name), ignored)
            firsts[name] = row
        counts[name] += 1
        try:
            conversation = reader.read(row)
            cleaned = clean(
                conversation, system=config.data.system, thinking=config.thinking, keep_repeats=keep_repeats
            )
        except (BadLayout, Dropped) as dropped:
            tally.add(dropped.reason, row.place, found=dropped.found)
            unknown[name] += dropped.reason == "missing_columns"
            continue
        for rule, found in conversation.notes:
            tally.add(rule, row.place, dropped=False, found=found)
        for repair in cleaned.repairs:
            tally.add(repair, row.place, dropped=False)
        conversations.append((cleaned.conversation, identify(cleaned.conversation)))
    for name, reader in readers.items():
        if unknown[name] == counts[name]:
            raise _unknown_layout(reader, tally, firsts[name])
    if not readers:
        found, mend = in_words((r, n, tally.places[r], tally.found_in(r)) for r, n in tally.counts.items())
        raise DataError(f"{source.path}: no row can be read: {found}", mend)
    _check_columns(source, readers.values())
    return conversations, [reader.finish() for reader in readers.values()]


def _unknown_layout(reader: RowReader, tally: Tally, first: RawRow) -> DataError:
    """No row of a file fits a layout: what was found, and what to do, as far as the columns tell."""
    columns = reader.seen_columns
    place = tally.places["missing_columns"][:1]
    found = tally.found_in("missing_columns", 1)
    message = (
        f"{reader.use.name}: the layout of the rows is not known; the columns are {some(columns)}"
        f" ({', '.join([*place, *found])})"
    )
    if looks_like_a_row(first.value.values(), frozenset()):
        return DataError(message, f"the names of the columns stand in {first.place}: take what is above that row out")
    if [c.casefold() for c in columns] in (["text"], ["content"]):
        return DataError(message, "one column of running text is for pre-training; give rows of question and answer")
    answer = next((c for c in columns if part_of(c) == "answer"), "my_answer")
    asked = next((c for c in columns if part_of(c) in ("question", "instruction", "input", "context")), "my_question")
    return DataError(
        message,
        f"map them in the recipe, e.g. columns: {{instruction: {asked}, output: {answer}}}; all layouts that are read "
        "stand in docs/data.md, such as messages, conversations (from/value), instruction/input/output",
    )


def _check_columns(source: SourceConfig, readers: Iterable[RowReader]) -> None:
    """Raises a DataError for a column of `columns` that no row has, or that the layout of the rows does not read."""
    readers = list(readers)
    seen = list(dict.fromkeys(name for reader in readers for name in reader.seen_columns))
    keys = list(dict.fromkeys(key for reader in readers for key in reader.seen_keys))
    for target, column in source.columns.items():
        inside = target in ("role", "content")
        there = keys if inside else seen
        what = f"{source.path}: columns: {{{target}: {column}}}"
        if column not in there:
            near = difflib.get_close_matches(column, there, 1, 0.5)
            listed = some(there)
            raise DataError(
                f"{what}: no message has a key `{column}`" if inside else f"{what}: no row has a column `{column}`",
                f"did you mean `{near[0]}`? There are: {listed}" if near else f"there are: {listed}",
            )
        if inside or column in _ignored(readers):
            continue
        filled = any(column in reader.filled_columns for reader in readers)
        if filled and not any(column in reader.read_columns for reader in readers):
            layouts = ", ".join(dict.fromkeys(layout for reader in readers for layout in reader.use.layouts))
            raise DataError(
                f"{what}: the rows are {layouts or 'of no known layout'}, which reads no `{target}`",
                "leave that line out of columns, or write the column into the messages",
            )


def _ignored(readers: Iterable[RowReader]) -> set[str]:
    """Columns that data.ignore_columns names."""
    return {column for reader in readers for column in reader.ignored}


def _without_duplicates(conversations: Sequence[Known], seen: set[bytes], tally: Tally) -> list[Known]:
    kept = []
    for conversation, known in conversations:
        if known.whole in seen:
            tally.add("duplicate", conversation.place)
        else:
            seen.add(known.whole)
            kept.append((conversation, known))
    return kept


def _split(conversations: Sequence[Known], config: RunConfig, before: Set[bytes]) -> set[bytes]:
    """What the held-out conversations ask: conversations that ask the same always fall on one side.

    Args:
        before: what earlier runs were trained on, which is held out no more.

    Raises:
        DataError: nothing is left that they were not trained on.
    """
    wanted = min(round(config.data.eval_split * len(conversations)), config.data.max_heldout)
    if wanted == 0 and config.data.eval_split > 0 and len(conversations) > 1:
        wanted = 1
    sizes: Counter[bytes] = Counter(known.asked for _, known in conversations)
    groups = {name: asked for name, asked in _joined(conversations, sizes).items() if before.isdisjoint(asked)}
    if wanted and conversations and not groups:
        raise DataError(
            f"{config.train.continue_from} was trained on all of these rows, so that none can be held out",
            "add rows that it has not seen, or give such a file as data.heldout",
        )
    names = sorted(groups)
    random.Random(f"{config.seed} split").shuffle(names)
    chosen: list[bytes] = []
    count = 0
    for name in names:
        size = sum(sizes[asked] for asked in groups[name])
        if count + size <= wanted:
            chosen.append(name)
            count += size
        if count == wanted:
            break
    if not chosen and wanted:
        # Every group is larger than what is wanted: the smallest, as long as it is the smaller side.
        smallest = min(names, key=lambda name: sum(sizes[asked] for asked in groups[name]))
        if 2 * sum(sizes[asked] for asked in groups[smallest]) <= len(conversations):
            chosen = [smallest]
    return {asked for name in chosen for asked in groups[name]}


def _joined(conversations: Sequence[Known], sizes: Counter[bytes]) -> dict[bytes, list[bytes]]:
    """What is asked, in groups: a conversation that asks on the way what another asks at its end is of its group."""
    leader: dict[bytes, bytes] = {asked: asked for asked in sizes}

    def find(asked: bytes) -> bytes:
        while leader[asked] != asked:
            leader[asked] = leader[leader[asked]]
            asked = leader[asked]
        return asked

    for _, known in conversations:
        for earlier in known.earlier:
            if earlier in leader:
                leader[find(known.asked)] = find(earlier)
    groups: dict[bytes, list[bytes]] = {}
    for asked in leader:
        groups.setdefault(find(asked), []).append(asked)
    return groups


def _asks(known: Identity, groups: set[bytes]) -> bool:
    return known.asked in groups or not groups.isdisjoint(known.earlier)


def _asked_in(conversations: Sequence[Known], groups: set[bytes]) -> set[bytes]:
    """Everything that is asked in those conversations that may be trained."""
    trained = (known for _, known in conversations if not _asks(known, groups))
    return {digest for known in trained for digest in (known.asked, *known.earlier)}


def _count_leaks(conversations: Sequence[Known], groups: set[bytes], tally: Tally) -> None:
    for conversation, known in conversations:
        if _asks(known, groups):
            tally.add("leak", conversation.place)

"""Questions that stand in what was trained: what a model says to them is memory, no sign of what it learned or kept.

Found by content, whatever file or layout a question came from: its letters and digits alone count, and of them what no
other question of its task says, since a passage that several share and the words around them tell nothing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.tables.spelling import nfkc
from eval.compare.comparison import Comparison, Sentence

RESERVED = 0.01
"""Share of a task's questions that speaks against a model that passed."""
_WINDOW = 8
"""Letters that are looked for together."""
_LEAST = 4
"""Windows of its own by which a question is known; one with fewer is known by its lines."""
_NEAR = 0.8
"""Share of these windows that one conversation must hold."""
_NEAR_ANSWER = 0.7
"""The same of a long answer; a short one must stand there."""
_LONG_ANSWER = 40
_BATCH = 1 << 20
"""Letters of conversations that are looked at together; each takes about 50 bytes."""
_LONGEST = 4000
"""Letters of a question that it is known by, the last ones: the question stands below its passage."""
_LINE = re.compile(r"[\n:：]")
_NO_LETTER = re.compile(r"[\W_]+")
_LETTER_OF_CHOICE = re.compile(r"[A-Ja-j]")


@dataclass(frozen=True)
class Question:
    """What is asked: the texts before the answer, and what is right."""

    id: str
    messages: Sequence[Mapping[str, Any]]
    references: Sequence[str]


@dataclass(frozen=True)
class Trained:
    """One conversation of the training: what its model was told, and what it was taught to say."""

    asked: Sequence[str]
    said: Sequence[str]


def trained_questions(
    tasks: Mapping[str, Sequence[Question]], conversations: Iterable[Trained]
) -> dict[str, frozenset[str]]:
    """Ids, by task, of the questions that a conversation asks and answers alike; tasks without any are left out.

    Four fifths of what a question alone says stand in the conversation, and a right answer in its answers. Where none
    can be looked for, as for orders and letters of choices, the question is enough.
    """
    known = _Known(tasks)
    found: dict[str, set[str]] = defaultdict(set)
    for batch in _batches(conversations):
        for number, at in known.candidates(batch):
            task, question = known.questions[number]
            if question.id not in found[task] and _says(batch[at].said, question.references):
                found[task].add(question.id)
    return {task: frozenset(ids) for task, ids in found.items() if ids}


def with_trained(comparison: Comparison) -> Comparison:
    """The comparison with a reservation for every task of which enough was trained, or may have been, if it passed."""
    said = [
        Sentence("reservation.trained", {"task": task, **count})
        for task, count in (comparison.facts.get("trained_questions") or {}).items()
        if count["trained"] >= RESERVED * count["asked"]
    ]
    said += [Sentence("reservation.untold", {"folder": folder}) for folder in comparison.facts.get("untold", ())]
    gate = comparison.gate
    if gate.verdict != "pass" or not said:
        return comparison
    return replace(comparison, gate=replace(gate, reservations=(*said, *gate.reservations)))


def _batches(conversations: Iterable[Trained]) -> Iterator[list[Trained]]:
    batch: list[Trained] = []
    letters = 0
    for conversation in conversations:
        batch.append(conversation)
        letters += sum(map(len, conversation.asked))
        if letters >= _BATCH:
            yield batch
            batch, letters = [], 0
    if batch:
        yield batch


class _Known:
    """All questions, by their windows and by their lines."""

    def __init__(self, tasks: Mapping[str, Sequence[Question]]) -> None:
        self.questions: list[tuple[str, Question]] = []
        self._lines: dict[str, list[tuple[int, frozenset[str]]]] = defaultdict(list)
        hashes, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for task, asked in tasks.items():
            lines = [
                _last(_lines(str(m.get("content") or "") for m in q.messages if m.get("role") == "user")) for q in asked
            ]
            windows, index = _each_once(*_windows(lines))
            _, which, times = np.unique(windows, return_inverse=True, return_counts=True)
            windows, index = windows[times[which] == 1], index[times[which] == 1]
            enough = np.bincount(index, minlength=len(asked)) >= _LEAST
            hashes.append(windows[enough[index]])
            owners.append(len(self.questions) + index[enough[index]])
            shared = Counter(line for one in lines for line in set(one))
            for at in np.flatnonzero(~enough).tolist():
                whole = frozenset(line for line in lines[at] if shared[line] == 1) or frozenset(lines[at])
                for line in sorted(whole, key=len)[-1:]:
                    self._lines[line].append((len(self.questions) + at, whole))
            self.questions += [(task, question) for question in asked]
        every, owner = np.concatenate(hashes), np.concatenate(owners)
        order = np.argsort(every, kind="stable")
        self._hashes, self._owners = every[order], owner[order]
        self._sizes = np.bincount(owner, minlength=len(self.questions))

    def candidates(self, batch: Sequence[Trained]) -> Iterator[tuple[int, int]]:
        """(number of a question, index of a conversation) wherever one asks the other."""
        every = [_lines(conversation.asked) for conversation in batch]
        for at, lines in enumerate(every):
            said = set(lines)
            for line in said & self._lines.keys():
                yield from ((number, at) for number, whole in self._lines[line] if whole <= said)
        hashes, rows = _windows(every)
        there = np.searchsorted(self._hashes, hashes, "left") < np.searchsorted(self._hashes, hashes, "right")
        hashes, rows = _each_once(hashes[there], rows[there])
        first = np.searchsorted(self._hashes, hashes, "left")
        times = np.searchsorted(self._hashes, hashes, "right") - first
        # Of each window that is there, every question that has it.
        places = np.repeat(first - np.cumsum(times) + times, times) + np.arange(times.sum())
        pairs, counts = np.unique(self._owners[places] * len(batch) + np.repeat(rows, times), return_counts=True)
        near = pairs[counts >= _NEAR * self._sizes[pairs // len(batch)]]
        yield from ((pair // len(batch), pair % len(batch)) for pair in near.tolist())


def _lines(texts: Iterable[str]) -> list[str]:
    """Letters and digits of every line, without case and width; what stands before a colon is a line of its own."""
    lines = (_letters(line) for text in texts for line in _LINE.split(text))
    return [line for line in lines if line]


def _last(lines: list[str]) -> list[str]:
    """The last lines, as many letters as a question is known by."""
    kept: list[str] = []
    left = _LONGEST
    while lines and left > 0:
        kept.append(lines.pop()[-left:])
        left -= len(kept[-1])
    return kept[::-1]


def _letters(text: str) -> str:
    return _NO_LETTER.sub("", nfkc(text).casefold())


def _windows(texts: Sequence[Sequence[str]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of all windows within a line, and the index of the text of each."""
    joined = "".join("\n".join([*lines, "\0"]) for lines in texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    count = max(0, len(codes) - _WINDOW + 1)
    hashes, inside = np.zeros(count, np.uint64), np.ones(count, bool)
    for place in range(_WINDOW):
        part = codes[place : place + count]
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + part
        inside &= (part != 0) & (part != ord("\n"))
    index = np.cumsum(codes == 0)[:count].astype(np.int64)
    return hashes[inside], index[inside]


def _each_once(hashes: NDArray[np.uint64], index: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Windows without their repetitions in one text."""
    order = np.lexsort((hashes, index))
    hashes, index = hashes[order], index[order]
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (index[1:] != index[:-1])
    return hashes[new], index[new]


def _says(said: Sequence[str], references: Sequence[str]) -> bool:
    """Whether a right answer stands in what was taught; whatever it was, where none can be looked for."""
    wanted = [letters for reference in references if (letters := _letters(reference))]
    if not wanted or all(_LETTER_OF_CHOICE.fullmatch(letters) for letters in wanted):
        return True
    text = _letters(" ".join(said))
    return any(_stands(letters, text) for letters in wanted)


def _stands(letters: str, text: str) -> bool:
    if letters.isdecimal():
        return re.search(rf"(?<!\d){letters}(?!\d)", text) is not None
    if letters in text or len(letters) < _LONG_ANSWER:
        return letters in text
    wanted, there = (_windows([[one]])[0] for one in (letters, text))
    return bool(np.isin(wanted, there).mean() >= _NEAR_ANSWER)

"""Blind ballots: questions with two answers in no order that means anything, and the key apart from them.

RUN/votes/ holds for each ballot `ID.json`, which may be shown to anybody, and `ID.key.json`, which says which answer is
the tuned model's and is never sent anywhere; and `votes.jsonl`, all votes with the names put back.
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from configs.disk.files import appended, file_bytes, json_line, parse_json, whole, write_atomically
from configs.errors import ConfigError, DataError
from configs.handover.base import as_dataclass
from configs.run.rundir import RunDir
from configs.terminal.console import shell
from eval.ask.results import TaskResult, drop_torn_line, read_results
from eval.compare.judge import can_be_judged
from eval.compare.votes import Vote, Winner, read_votes
from scripts.run.votes import models_of

Made = TypeVar("Made")
Slot = Literal["x", "y"]
Choice = Literal["x", "y", "tie", "neither"]
CHOICES: tuple[Choice, ...] = ("x", "y", "tie", "neither")
QUESTIONS = 30
"""Questions of a ballot unless told otherwise: about ten minutes of reading."""
LONGEST_TEXT = 20_000
"""Characters of a question, an answer or a comment that are kept."""


@dataclass(frozen=True)
class Pair:
    """One question that both models answered."""

    question: str
    base: str
    tuned: str
    cluster: str


@dataclass(frozen=True)
class Item:
    """What a voter is shown: nothing in it tells which answer is whose."""

    id: str
    question: str
    x: str
    y: str


@dataclass(frozen=True)
class Ballot:
    """The part that may be shown."""

    id: str
    items: list[Item]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Whose:
    """What a ballot's key says of one question."""

    tuned: Slot
    cluster: str


@dataclass(frozen=True)
class _Key:
    """ID.key.json."""

    run: str
    key: Mapping[str, _Whose]
    models: str = ""


@dataclass(frozen=True)
class Marked:
    """A voter's mark, before the names are put back."""

    item: str
    choice: Choice
    left: Slot
    comment: str = ""

    @classmethod
    def read(cls, raw: Any) -> Marked:
        """From JSON of a browser.

        Raises:
            DataError: it is none.
        """
        if not isinstance(raw, Mapping) or raw.get("choice") not in CHOICES or raw.get("left") not in ("x", "y"):
            raise DataError(f"{str(raw)[:80]}: not a vote", "vote on the page")
        return cls(str(raw.get("item")), raw["choice"], raw["left"], str(raw.get("comment") or "")[:LONGEST_TEXT])


def answered_pairs(run: RunDir) -> list[Pair]:
    """Questions that the run's base and tuned model answered with texts, differently.

    Raises:
        ConfigError: the run has no such answers.
    """
    if not (run.eval / "base").is_dir() or not (run.eval / "tuned").is_dir():
        raise ConfigError(
            f"{run.path}: base and tuned model were not asked yet", shell("tuneserve", "run", run.config_file)
        )
    base, tuned = read_results(run.eval / "base"), read_results(run.eval / "tuned")
    found = [pair for name in base.keys() & tuned.keys() for pair in _pairs(base[name], tuned[name])]
    if not found:
        raise ConfigError(
            f"{run.path}: no question whose answers are texts and differ",
            "paste questions, or ask tasks of the types qa or summary",
        )
    return found


def _pairs(base: TaskResult, tuned: TaskResult) -> Iterable[Pair]:
    if base.meta.role != "target" or not can_be_judged(base):
        return
    others = {sample.id: sample for sample in tuned.samples}
    for sample in base.samples:
        other = others.get(sample.id)
        if other is None or sample.status != "ok" or other.status != "ok" or sample.answer == other.answer:
            continue
        question = "\n\n".join(str(message["content"]) for message in sample.prompt if message["role"] == "user")
        cluster = f"{base.meta.task}/{sample.cluster or sample.id}"
        yield Pair(question, sample.answer, other.answer, cluster)


def make_ballot(run: RunDir, pairs: Sequence[Pair], questions: int = QUESTIONS) -> Ballot:
    """Draws questions, hides whose answer is whose, and keeps the key in the run."""
    drawn = secrets.SystemRandom().sample(list(pairs), min(questions, len(pairs)))
    items, key = [], {}
    for pair in drawn:
        number: str = secrets.token_hex(6)
        tuned: Slot = secrets.choice(("x", "y"))
        texts = {tuned: pair.tuned, _other(tuned): pair.base}
        items.append(Item(number, pair.question[:LONGEST_TEXT], texts["x"][:LONGEST_TEXT], texts["y"][:LONGEST_TEXT]))
        key[number] = {"tuned": tuned, "cluster": pair.cluster}
    ballot = Ballot(secrets.token_hex(8), items)
    run.votes.mkdir(exist_ok=True)
    _write(run.votes / f"{ballot.id}.json", ballot.as_json())
    _write(run.votes / f"{ballot.id}.key.json", {"run": str(run.path), "models": models_of(run), "key": key})
    return ballot


def find_ballot(runs: Iterable[RunDir], number: str) -> tuple[RunDir, Ballot]:
    """The run and the ballot of that number.

    Raises:
        DataError: there is none.
    """
    if re.fullmatch(r"[0-9a-f]{16}", number):
        for run in runs:
            file = run.votes / f"{number}.json"
            if file.is_file():
                return run, _read(file, Ballot)
    raise DataError(f"no ballot {number!r} in these runs", "open the run's page and start a vote")


def ballots_of(run: RunDir) -> list[str]:
    """Numbers of a run's ballots, the newest first."""
    files = run.votes.glob("*.key.json")
    return [f.name.removesuffix(".key.json") for f in sorted(files, key=lambda f: f.stat().st_mtime, reverse=True)]


def count_votes(run: RunDir, ballot: Ballot, voter: str, marks: Sequence[Marked]) -> int:
    """Adds votes to the run, with the names put back, and returns how many.

    Raises:
        DataError: a vote on a question that the ballot has not, or no voter.
    """
    voter = _named(voter)
    if not voter:
        raise DataError("a vote needs a name, so that one person counts once", "write any name")
    key = _read(run.votes / f"{ballot.id}.key.json", _Key).key
    votes, now = [], datetime.now(UTC).isoformat(timespec="seconds")
    for mark in marks:
        if mark.item not in key:
            raise DataError(f"ballot {ballot.id} has no question {mark.item!r}", "vote on the page of this ballot")
        tuned = key[mark.item].tuned
        sides: dict[str, Winner] = {tuned: "tuned", _other(tuned): "base"}
        votes.append(
            Vote(
                ballot.id, mark.item, key[mark.item].cluster, voter, sides.get(mark.choice, "tie"),
                mark.choice == "neither", sides[mark.left], mark.comment, now,
            )
        )  # fmt: skip
    with appended(run.votes_file) as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed; another board or `board count` may write too
        drop_torn_line(run.votes_file)  # what is written after a line that a kill cut short would belong to it
        file.write("".join(json_line(asdict(vote)) for vote in votes))
    return len(votes)


def voted_on(run: RunDir, ballot: Ballot, voter: str) -> list[str]:
    """The questions of a ballot that somebody voted on already."""
    voter = _named(voter)
    votes = read_votes(run.votes_file)
    return [vote.item for vote in votes if vote.ballot == ballot.id and vote.voter == voter]


def _named(voter: str) -> str:
    """A voter's name as votes keep it."""
    return " ".join(voter.split())[:60]


def _other(slot: Slot) -> Slot:
    return "y" if slot == "x" else "x"


def _read(file: Path, kind: type[Made]) -> Made:
    try:
        return as_dataclass(kind, parse_json(file_bytes(file)))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: damaged: {error}", "its votes cannot be counted; start another vote") from error


def _write(file: Path, value: Any) -> None:
    write_atomically(file, whole(json.dumps(value, ensure_ascii=False, indent=1)) + "\n", mode=0o600)

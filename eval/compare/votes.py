"""What people who did not know which model was which preferred, with an interval and a p-value.

A vote is a preference for base or tuned, or neither. Votes on one question, by several people, are not independent:
the test flips whole questions (a sign test, clustered), and the interval is clustered by them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from configs.disk.files import read_jsonl
from configs.errors import DataError
from configs.handover.base import as_dataclass
from eval.statistics.change import change_interval, measure_change
from eval.statistics.interval import Interval

Winner = Literal["base", "tuned", "tie"]


@dataclass(frozen=True)
class Vote:
    """One vote, with the names put back: a line of RUN/votes/votes.jsonl."""

    ballot: str
    """The list of questions that it belongs to."""
    item: str
    """The question in it."""
    cluster: str
    """Equal for questions that are the same or share a passage."""
    voter: str
    """Who voted, as they called themselves."""
    winner: Winner
    """What was preferred; a tie also where neither was good."""
    neither: bool
    """Whether both were found bad."""
    left: Winner
    """Which of the two stood on the left: base or tuned."""
    comment: str
    """What the voter wrote beside it."""
    at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class Tally:
    """All votes of a run."""

    wins: int
    """Votes for the tuned model."""
    losses: int
    """Votes for the base."""
    ties: int
    """Votes for neither, both bad included."""
    neither: int
    """Votes that found both bad."""
    voters: int
    questions: int
    net_points: float
    """100 x (wins - losses) / votes."""
    interval: Interval
    """Of `net_points`, clustered by question."""
    p: float
    test: str
    left_percent: float
    """Share of all preferences that went to whatever stood on the left; 50 is none."""
    comments: int

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, for the facts of a report."""
        return asdict(self)


def read_votes(file: Path) -> list[Vote]:
    """The votes in a file; of several by one person on one question the last counts.

    Raises:
        DataError: a line is not a vote.
    """
    found: dict[tuple[str, str, str], Vote] = {}
    for number, row in read_jsonl(file, torn=True) if file.is_file() else ():
        try:
            vote = as_dataclass(Vote, row)
        except ValueError as error:
            raise DataError(f"{file}, line {number}: not a vote ({error})", "take the line out") from error
        found[vote.ballot, vote.item, vote.voter] = vote
    return list(found.values())


def tally(votes: Sequence[Vote], confidence: float = 0.95) -> Tally | None:
    """Counts and weighs votes; None without any."""
    if not votes:
        return None
    winners = [vote.winner for vote in votes]
    base, tuned = ([float(winner == side) for winner in winners] for side in ("base", "tuned"))
    clusters = [vote.cluster for vote in votes]
    decided = [vote for vote in votes if vote.winner != "tie"]
    questions = len(set(clusters))
    change = measure_change(base, tuned, clusters)
    return Tally(
        wins=winners.count("tuned"),
        losses=winners.count("base"),
        ties=winners.count("tie"),
        neither=sum(vote.neither for vote in votes),
        voters=len({vote.voter for vote in votes}),
        questions=questions,
        net_points=100 * (winners.count("tuned") - winners.count("base")) / len(votes),
        interval=change_interval(base, tuned, clusters, confidence=confidence).scaled(100),
        p=change.p,
        test=change.test,
        left_percent=100 * sum(vote.left == vote.winner for vote in decided) / len(decided) if decided else 50.0,
        comments=sum(bool(vote.comment.strip()) for vote in votes),
    )

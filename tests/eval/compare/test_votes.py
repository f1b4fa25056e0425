"""Blind votes: counted once a person and question, weighed by question."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from configs.errors import DataError
from eval.compare.votes import Vote, read_votes, tally
from eval.report.render_html import render_html
from eval.report.words import ReportWords
from tests.eval.report.pages import Page, build


def vote(item: int, winner: str, voter: str = "anna", **more: object) -> Vote:
    made = Vote("b", f"i{item}", f"q{item}", voter, winner, False, "base", "", "2026-01-01T00:00:00+00:00")  # type: ignore[arg-type]
    return replace(made, **more)  # type: ignore[arg-type]


def test_a_clear_preference_over_many_questions_has_a_small_p() -> None:
    counted = tally([vote(n, "tuned") for n in range(16)] + [vote(n, "base") for n in range(16, 18)])
    assert counted is not None
    assert (counted.wins, counted.losses, counted.questions, counted.voters) == (16, 2, 18, 1)
    assert counted.net_points == pytest.approx(100 * 14 / 18)
    # The exact sign test of 16 against 2.
    assert counted.p == pytest.approx(2 * (1 + 18 + 153) / 2**18, rel=1e-6)
    assert counted.interval.lower > 0


def test_many_people_on_few_questions_are_few_questions() -> None:
    people = [vote(n, "tuned", f"person {k}") for n in range(3) for k in range(20)]
    counted = tally(people)
    assert counted is not None
    assert (counted.wins, counted.questions, counted.voters) == (60, 3, 20)
    assert counted.p == pytest.approx(0.25)
    alone = tally([vote(1, "tuned", f"person {k}") for k in range(20)])
    assert alone is not None
    assert (alone.p, alone.interval.lower, alone.interval.upper) == (1.0, -100.0, 100.0)


def test_ties_count_as_votes_and_sides_are_watched() -> None:
    votes = [vote(1, "tie", neither=True), vote(2, "tie"), vote(3, "base", left="base"), vote(4, "tuned", left="tuned")]
    counted = tally(votes)
    assert counted is not None
    assert (counted.ties, counted.neither, counted.net_points, counted.left_percent) == (2, 1, 0.0, 100.0)
    assert tally([]) is None


def test_the_last_vote_of_a_person_counts(tmp_path: Path) -> None:
    file = tmp_path / "votes.jsonl"
    votes = [vote(1, "base"), vote(1, "tuned"), vote(1, "base", "li")]
    file.write_text("".join(json.dumps(asdict(each)) + "\n" for each in votes), encoding="utf-8")
    assert [(each.voter, each.winner) for each in read_votes(file)] == [("anna", "tuned"), ("li", "base")]
    file.write_text('{"winner": "me"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 1: not a vote"):
        read_votes(file)
    for hostile in ({"voter": ["x"]}, {"cluster": {}}, {"winner": "me"}, {"comment": None}, {"item": 5}):
        file.write_text(json.dumps(asdict(vote(1, "base")) | hostile) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match="line 1: not a vote"):
            read_votes(file)
    assert read_votes(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(("language", "words"), [("en", "Tuned preferred 5 times"), ("zh", "偏好微调后 5 次")])
def test_the_report_says_what_people_preferred(language: str, words: str) -> None:
    counted = tally([vote(n, "tuned") for n in range(5)])
    assert counted is not None
    comparison = build(facts={"vote": counted.as_json()})
    assert words in Page(render_html([comparison], ReportWords(language))).text  # type: ignore[arg-type]

"""Ballots: what is shown tells nothing, what is counted has its names back."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs.errors import ConfigError, DataError
from configs.run.rundir import RunDir
from eval.compare.votes import read_votes
from scripts.board.app import read_back
from scripts.board.ballots import Marked, Pair, answered_pairs, count_votes, find_ballot, make_ballot, voted_on
from scripts.cli import main
from scripts.run.votes import current_votes
from tests.scripts.board.conftest import QUESTIONS, make_run


def test_questions_with_one_answer_are_left_out(tmp_path: Path) -> None:
    pairs = answered_pairs(make_run(tmp_path))
    assert len(pairs) == QUESTIONS - 1
    assert {(pair.base[0], pair.tuned[0]) for pair in pairs} == {("甲", "乙")}
    assert len({pair.cluster for pair in pairs}) == 3


def test_what_is_shown_says_nothing_of_whose_answer_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    slots = []
    for _ in range(40):
        ballot = make_ballot(run, answered_pairs(run))
        shown = (run.votes / f"{ballot.id}.json").read_text(encoding="utf-8")
        assert not [word for word in ("tuned", "base", "secret", "heldout", "passage", "q1") if word in shown]
        slots += ["x" if item.x.startswith("乙") else "y" for item in ballot.items]
    # Drawn for each question: neither side is preferred (200 draws, 5 standard deviations).
    assert 65 < slots.count("x") < 135
    assert stat.S_IMODE((run.votes / f"{ballot.id}.key.json").stat().st_mode) == 0o600


def test_half_a_character_ends_no_vote(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ballot = make_ballot(run, [Pair("half \ud83d", "a", "b\udc00", "c")])
    assert find_ballot([run], ballot.id)[1].items[0].question == "half \ufffd"


def test_votes_behind_a_line_without_end_are_counted_or_refused_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ballot = make_ballot(run, answered_pairs(run), 1)
    marks = [Marked(ballot.items[0].id, "tie", "x")]
    for size in (1 << 28, 1 << 40):
        run.votes_file.touch()
        os.truncate(run.votes_file, size)  # sparse, as a crash may leave it
        began = time.monotonic()
        if size < 1 << 30:
            assert count_votes(run, ballot, "Anna", marks) == 1
            assert run.votes_file.stat().st_size < 1000
        else:
            with pytest.raises(OSError, match="far more than such a file holds"):
                count_votes(run, ballot, "Anna", marks)
        assert time.monotonic() - began < 10


def test_votes_get_their_names_back(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ballot = make_ballot(run, answered_pairs(run), 3)
    first, second, third = ballot.items
    tuned = {item.id: "x" if item.x.startswith("乙") else "y" for item in ballot.items}
    marks = [
        Marked(first.id, tuned[first.id], "x", "clear"),  # type: ignore[arg-type]
        Marked(second.id, "y" if tuned[second.id] == "x" else "x", "y"),
        Marked(third.id, "neither", "x"),
    ]
    assert count_votes(run, ballot, "  Anna   Li ", marks) == 3
    votes = read_votes(run.votes_file)
    assert [vote.winner for vote in votes] == ["tuned", "base", "tie"]
    assert [vote.neither for vote in votes] == [False, False, True]
    assert {vote.voter for vote in votes} == {"Anna Li"}
    assert [vote.left == "tuned" for vote in votes] == [tuned[m.item] == m.left for m in marks]
    assert set(voted_on(run, ballot, "Anna Li")) == {item.id for item in ballot.items}
    assert voted_on(run, ballot, "somebody else") == []


def test_a_vote_after_a_kill_does_not_run_into_the_half_written_one(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ballot = make_ballot(run, answered_pairs(run), 3)
    run.votes_file.write_bytes(b'{"ballot": "12')
    assert count_votes(run, ballot, "Anna", [Marked(ballot.items[0].id, "x", "x")]) == 1
    assert [vote.voter for vote in read_votes(run.votes_file)] == ["Anna"]


def test_votes_that_somebody_else_is_writing_are_waited_for(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ballot = make_ballot(run, answered_pairs(run), 3)
    marks = [Marked(item.id, "x", "x") for item in ballot.items]
    count_votes(run, ballot, "Anna", marks)
    line = run.votes_file.read_bytes().splitlines(keepends=True)[0].replace(b"Anna", b"Ben")
    with ThreadPoolExecutor(1) as beside, run.votes_file.open("ab", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(line[:40])
        counted = beside.submit(count_votes, run, ballot, "Cleo", marks)
        time.sleep(0.2)
        other.write(line[40:])
        fcntl.flock(other, fcntl.LOCK_UN)
        assert counted.result() == 3
    assert Counter(vote.voter for vote in read_votes(run.votes_file)) == {"Anna": 3, "Ben": 1, "Cleo": 3}


def test_votes_on_what_was_trained_before_do_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, counted = make_run(tmp_path), {}
    for weights in ("old", "new"):
        with run.stage("base", {"base_weights": "b"}, []), run.stage("tuned", {"merged_weights": weights}, []):
            pass
        ballot = make_ballot(run, answered_pairs(run), 3)
        marks = [{"item": item.id, "choice": "x", "left": "x"} for item in ballot.items[: 1 + (weights == "new")]]
        file = tmp_path / f"{weights}.json"
        file.write_text(json.dumps({"ballot": ballot.id, "voter": "Anna", "votes": marks}), encoding="utf-8")
        main_counts(run, file)
        counted[weights] = len(current_votes(run))
    assert counted == {"old": 1, "new": 2}
    assert len(read_votes(run.votes_file)) == 3
    assert "1 votes are on models that this run had before" in " ".join(capsys.readouterr().out.split())


def main_counts(run: RunDir, file: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["board", "count", str(run.path), str(file)])
    assert not ended.value.code


def test_a_ballot_is_found_by_its_number_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ballot = make_ballot(run, answered_pairs(run))
    assert find_ballot([run], ballot.id) == (run, ballot)
    for wrong in ("0" * 16, f"../votes/{ballot.id}", f"{ballot.id}.key", ""):
        with pytest.raises(DataError, match="no ballot"):
            find_ballot([run], wrong)


def test_a_run_without_answers_says_what_to_do(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for part in ("base", "tuned"):
        meta = run.eval / part / "heldout.meta.json"
        meta.write_text(
            json.dumps({**json.loads(meta.read_text(encoding="utf-8")), "type": "choice"}), encoding="utf-8"
        )
    with pytest.raises(ConfigError, match="answers are texts and differ"):
        answered_pairs(run)


@pytest.mark.parametrize(
    "votes",
    [
        "[" * 200_000,
        "[]",
        "",
        '{"ballot": {}, "votes": []}',
        '{"ballot": "../../x", "votes": []}',
        '{"ballot": "BALLOT", "voter": "v", "votes": [1e999]}',
        '{"ballot": "BALLOT", "voter": "v", "votes": [{"item": [1], "choice": ["x"], "left": {}}]}',
        '{"ballot": "BALLOT", "voter": "v", "votes": [{"item": {}, "choice": "x", "left": "x"}]}',
        '{"ballot": "BALLOT", "voter": "\\u001b[2J", "votes": [{"item": "0", "choice": "x", "left": "x"}]}',
    ],
)
def test_a_file_that_holds_no_votes_is_refused_in_a_sentence(
    votes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    ballot = make_ballot(run, answered_pairs(run))
    (tmp_path / "votes.json").write_text(votes.replace("BALLOT", ballot.id), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["board", "count", str(run.path), str(tmp_path / "votes.json")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "\x1b" not in said
    assert not run.votes_file.exists()


@pytest.mark.parametrize("file", ["BALLOT.json", "BALLOT.key.json"])
@pytest.mark.parametrize(
    "damaged",
    [
        *("{", "{}", "[]", "[" * 100_000),
        '{"id": 5, "items": [5], "run": "r", "key": 5}',
        '{"id": "0", "items": [{"id": [], "x": {}, "y": 5}], "run": "r", "key": {"0": {"tuned": "z"}}}',
    ],
)
def test_a_damaged_ballot_is_said_and_counts_nothing(file: str, damaged: str, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ballot = make_ballot(run, answered_pairs(run))
    said = {"ballot": ballot.id, "voter": "v", "votes": [{"item": ballot.items[0].id, "choice": "x", "left": "x"}]}
    (run.votes / file.replace("BALLOT", ballot.id)).write_text(damaged, encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged: .*\n.*start another vote"):
        read_back(said, [run])
    assert not run.votes_file.exists()

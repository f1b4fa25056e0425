"""The journals of what a base wrote."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from configs.errors import TuneserveError
from configs.handover.prompt_logprobs import TOP
from configs.handover.selfmade import SoftTargets
from eval.selfmade.pool import Answer, Likelihood, Pool, Question
from tests.eval.selfmade.test_make import good


def test_an_answer_whose_question_was_lost_is_not_that_of_the_next_one(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    for number in (1, 2, 3):
        pool.add(Question(number=number, text=f"第{number}问？", ended=True, tokens=3))
        pool.add(
            Answer(number=number, content="答", reasoning=None, ended=True, prompt_ids=[number], answer_ids=[number])
        )
        pool.add(Likelihood(number=number, logprob=-1.0))
        pool.add(SoftTargets.of(number, [[(i, -1.0 - i) for i in range(TOP)]]))
    for name in ("questions.jsonl", "likelihoods.jsonl"):
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = lines[:2] if name == "questions.jsonl" else lines[1:]
        (tmp_path / name).write_text("".join(kept), encoding="utf-8")
    again = Pool(tmp_path)
    assert [set(journal) for journal in (again.questions, again.answers, again.likelihoods)] == [{1, 2}, {1, 2}, {2}]
    assert again.soft_targets == {1, 2} == {targets.number for targets in again.likely_tokens({1, 2, 3})}
    again.add(Question(number=3, text="另一问？", ended=True, tokens=3))  # killed before it was answered
    assert set(Pool(tmp_path).answers) == {1, 2}


def packed(values: list[int]) -> dict[str, str]:
    planes = np.array(values, "<i4").view(np.uint8).reshape(len(values), 4).T
    return {"likely": base64.b64encode(zlib.compress(planes.tobytes())).decode()}


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ({"likely": "not base64"}, ""),
        ({"likely": "AAAA"}, "while decompressing"),
        ({"likely": packed([1] * 2 * TOP)["likely"][:-8]}, f"are not {TOP} token ids and log-probabilities a place"),
        (packed([1]), f"4 bytes are not {TOP} token ids and log-probabilities a place"),
        (packed([]), f"0 bytes are not {TOP} token ids and log-probabilities a place"),
        (packed([-1] * TOP + [-5] * TOP), "a negative token id"),
        (packed([1] * TOP + [1 << 14] + [0] * (TOP - 1)), "a number that is no log-probability"),
        ({"likely": None}, "likely"),
    ],
)
def test_a_damaged_line_of_soft_targets_is_named(tmp_path: Path, damaged: dict[str, str], message: str) -> None:
    pool = Pool(tmp_path)
    for number in (1, 2):
        pool.add(good(number))
        pool.add(SoftTargets.of(number, [[(i, -1.0 - i) for i in range(TOP)]]))
    file = tmp_path / "likely_tokens.jsonl"
    first, second = file.read_text(encoding="utf-8").splitlines()
    file.write_text(f"{first}\n{json.dumps(json.loads(second) | damaged)}\n", encoding="utf-8")
    with pytest.raises(TuneserveError, match=rf"likely_tokens.jsonl, line 2: .*{message}"):
        Pool(tmp_path)


def test_likely_tokens_are_kept_in_half_the_room_and_read_as_they_were(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    logprobs = -draw.exponential(0.5, (300, TOP)).cumsum(1)
    logprobs[0, -2:] = -9999, -1e30
    ids = draw.integers(0, 151_936, logprobs.shape)
    pool = Pool(tmp_path)
    for number in (1, 2, 3):
        pool.add(Question(number=number, text="?", ended=True, tokens=1))
        pool.add(good(number))
        places = [list(zip(*place, strict=True)) for place in zip(ids + number, logprobs, strict=True)]
        pool.add(SoftTargets.of(number, places))
    assert (tmp_path / "likely_tokens.jsonl").stat().st_size < 130 * 3 * 300
    again = Pool(tmp_path)
    assert again.soft_targets == {1, 2, 3}
    found = list(again.likely_tokens({1, 3}))
    assert [targets.number for targets in found] == [1, 3]
    for targets in found:
        read_ids, read = targets.arrays
        assert (read_ids == ids + targets.number).all()
        assert np.exp(read) == pytest.approx(np.exp(logprobs), rel=5e-5)

"""The journals of what a base wrote."""

from __future__ import annotations

import base64
import json
from array import array
from pathlib import Path

import pytest

from configs.errors import TuneserveError
from configs.handover.selfmade import SoftTargets
from configs.prompt_logprobs import TOP
from eval.selfmade.pool import Answer, Likelihood, Pool, Question


def test_an_answer_whose_question_was_lost_is_not_that_of_the_next_one(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    for number in (1, 2, 3):
        pool.add(Question(number=number, text=f"第{number}问？", ended=True, tokens=3))
        pool.add(
            Answer(number=number, content="答", reasoning=None, ended=True, prompt_ids=[number], answer_ids=[number])
        )
        pool.add(Likelihood(number=number, logprob=-1.0))
    for name in ("questions.jsonl", "likelihoods.jsonl"):
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = lines[:2] if name == "questions.jsonl" else lines[1:]
        (tmp_path / name).write_text("".join(kept), encoding="utf-8")
    again = Pool(tmp_path)
    assert [set(journal) for journal in (again.questions, again.answers, again.likelihoods)] == [{1, 2}, {1, 2}, {2}]
    again.add(Question(number=3, text="另一问？", ended=True, tokens=3))  # killed before it was answered
    assert set(Pool(tmp_path).answers) == {1, 2}


def packed(kind: str, values: list[float]) -> str:
    return base64.b64encode(array(kind, values).tobytes()).decode()


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ({"token_ids": "not base64"}, ""),
        ({"token_ids": "AAAA"}, ""),  # three bytes
        ({"token_ids": packed("i", [1])}, f"1 token ids and {TOP} log-probabilities are not {TOP} a place"),
        ({"token_ids": "", "logprobs": ""}, f"0 token ids and 0 log-probabilities are not {TOP} a place"),
        ({"token_ids": packed("i", [-1] * TOP)}, "a negative token id"),
        *(
            ({"logprobs": packed("f", [-1.0] * (TOP - 1) + [odd])}, "a number that is no log-probability")
            for odd in (float("nan"), float("inf"), float("-inf"), 2.0)
        ),
        ({"logprobs": None}, "logprobs"),
    ],
)
def test_a_damaged_line_of_soft_targets_is_named(tmp_path: Path, damaged: dict[str, str], message: str) -> None:
    pool = Pool(tmp_path)
    for number in (1, 2):
        pool.add(SoftTargets.of(number, [[(i, -1.0 - i) for i in range(TOP)]]))
    file = tmp_path / "soft_targets.jsonl"
    first, second = file.read_text(encoding="utf-8").splitlines()
    file.write_text(f"{first}\n{json.dumps(json.loads(second) | damaged)}\n", encoding="utf-8")
    with pytest.raises(TuneserveError, match=rf"soft_targets.jsonl, line 2: .*{message}"):
        Pool(tmp_path)

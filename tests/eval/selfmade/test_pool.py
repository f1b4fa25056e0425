"""The journals of what a base wrote."""

from __future__ import annotations

from pathlib import Path

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

"""The judge sees both orders, and what it does not say is not guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from configs.errors import ConfigError, EndpointError
from eval.ask.endpoint import Settings
from eval.ask.evaluate import evaluate
from eval.ask.mock_server import MockServer, reply_of
from eval.ask.results import TaskResult
from eval.compare.comparison import Judged
from eval.compare.judge import JudgedPair, Judgement, ask_judge, read_preference, weigh
from tests.eval.ask.test_evaluate import qa_task
from tests.eval.conftest import serving

QUICK = Settings(timeout_s=5.0, first_pause_s=0.01)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("理由略。\n结论：一", "first"),
        ("**结论：回答二**", "second"),
        ("结论:平", "tie"),
        ("起初我想写结论：一，但应为\n结论：二", "second"),
        ("两个都好", None),
        ("结论：一样好", None),
        ("结论：二者相当", None),
    ],
)
def test_verdicts(reply: str, verdict: str | None) -> None:
    assert read_preference(reply) == verdict


class JudgingServer(MockServer):
    """Says what a rule over the two answers says."""

    def __init__(self, rule: Any) -> None:
        super().__init__()
        self.rule = rule

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        prompt = body["messages"][-1]["content"]
        first = prompt.split("【回答一】\n")[1].split("\n\n【回答二】")[0]
        second = prompt.split("【回答二】\n")[1].split("\n\n先用")[0]
        return web.json_response(reply_of(self.rule(first, second)))


@pytest.fixture
def results(tmp_path: Path) -> tuple[TaskResult, TaskResult]:
    """A base that adds a question mark to some answers, and a tuned model that never does."""
    with serving(MockServer()) as endpoint:
        base = evaluate(endpoint, [qa_task(12)], tmp_path / "base", settings=QUICK)["qa"]
        tuned = evaluate(endpoint, [qa_task(12)], tmp_path / "tuned", settings=QUICK)["qa"]
    lines = (tmp_path / "tuned" / "qa.jsonl").read_text(encoding="utf-8").splitlines()
    from eval.ask.results import sample_from_row

    better = {
        row["id"]: sample_from_row(row | {"answer": row["answer"].rstrip("？")}) for row in map(json.loads, lines)
    }
    return base, TaskResult(tuned.meta, [better[sample.id] for sample in tuned.samples])


def test_a_fair_judge(results: tuple[TaskResult, TaskResult]) -> None:
    def shorter(first: str, second: str) -> str:
        return "结论：平" if len(first) == len(second) else f"结论：{'一' if len(first) < len(second) else '二'}"

    questioned = sum(sample.answer.endswith("？") for sample in results[0].samples)
    with serving(JudgingServer(shorter)) as endpoint:
        found = ask_judge(endpoint, *results, settings=QUICK)
    assert (found.wins, found.losses, found.ties, found.failures) == (questioned, 0, 12 - questioned, 0)
    assert (found.agreement, found.first_bias) == (1.0, 0.5)
    assert [pair.cluster for pair in found.pairs] == [f"c{n // 4}" for n in range(12)]


def test_a_judge_that_prefers_the_first_answer_decides_nothing(results: tuple[TaskResult, TaskResult]) -> None:
    with serving(JudgingServer(lambda first, second: "结论：一")) as endpoint:
        found = ask_judge(endpoint, *results, settings=QUICK)
    assert (found.wins, found.losses, found.ties) == (0, 0, 12)
    assert (found.agreement, found.first_bias) == (0.0, 1.0)


def test_replies_without_a_verdict_are_failures(results: tuple[TaskResult, TaskResult]) -> None:
    with serving(JudgingServer(lambda first, second: "都不错")) as endpoint:
        found = ask_judge(endpoint, *results, settings=QUICK)
    assert (found.failures, found.wins, found.ties) == (12, 0, 0)
    assert (found.agreement, found.first_bias) == (None, None)


@pytest.mark.parametrize(("tokens", "failures"), [(600, 0), (9000, 12)])
def test_thoughts_that_were_cut_are_no_verdict_and_get_more_room(
    tokens: int, failures: int, results: tuple[TaskResult, TaskResult]
) -> None:
    class Thinking(MockServer):
        async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            thoughts = "最后一行只写“结论：一”、“结论：二”或“结论：平”。"
            if body["max_tokens"] < tokens:
                return web.json_response(reply_of(thoughts, "length"))
            return web.json_response(reply_of(f"{thoughts}</think>结论：一"))

    with serving(Thinking()) as endpoint:
        found = ask_judge(endpoint, *results, settings=QUICK)
    assert (found.failures, found.ties, found.first_bias) == (failures, 12 - failures, None if failures else 1.0)


def test_a_judge_that_answers_nothing_is_said(results: tuple[TaskResult, TaskResult]) -> None:
    class Other(MockServer):
        async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            return web.json_response({"error": "unknown field seed"}, status=400)

    with serving(Other()) as endpoint, pytest.raises(EndpointError, match=r"judged no pair: .*unknown field"):
        ask_judge(endpoint, *results, settings=QUICK)


def test_verdicts_on_one_passage_are_not_independent() -> None:
    """Ten passages of four questions, seven won whole: ten verdicts, not forty."""

    def weighed(per_passage: int) -> Judged:
        sides = ["tuned"] * 28 + ["base"] * 12
        pairs = [JudgedPair(f"{n}", f"p{n // per_passage}", side, side, side) for n, side in enumerate(sides)]
        found = weigh(Judgement("qa", "j", 28, 12, 0, 0, 1.0, 0.5, pairs))
        assert found is not None
        return found

    alone, shared = weighed(1), weighed(4)
    assert (alone.test, alone.clusters, alone.p) == ("mcnemar_exact", 40, pytest.approx(0.01659, abs=1e-5))
    assert (shared.test, shared.clusters, shared.p) == ("sign_flip_exact", 10, pytest.approx(0.34375))
    assert alone.interval.lower > 0 > shared.interval.lower
    assert (weighed(40).p, weighed(40).interval.lower, weighed(40).test) == (1.0, -100, "none")


def test_different_samples_are_refused(results: tuple[TaskResult, TaskResult], tmp_path: Path) -> None:
    with serving(MockServer()) as endpoint:
        other = evaluate(endpoint, [qa_task(11)], tmp_path / "other", settings=QUICK)["qa"]
        with pytest.raises(ConfigError, match="different samples"):
            ask_judge(endpoint, results[0], other, settings=QUICK)

"""What the writer asks a server for, and what it makes of answers that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from configs.errors import EndpointError
from configs.handover.prompt_logprobs import TOP
from eval.ask.client import Outcome
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.replies import AttemptError, Check, check_completion
from eval.selfmade.draws import Draw
from eval.selfmade.pool import Pool
from eval.selfmade.writer import Base, Lengths, Writer
from tests.eval.selfmade.test_make import END, good

Reply = Callable[[Any, Any], Any]


class Answering(Writer):
    """Answered by a function of the prompt and of how many likely tokens are wanted."""

    def __init__(self, folder: Path, reply: Reply) -> None:
        base = Base(Endpoint("http://127.0.0.1:1/v1", "m"), lambda system: [1], 0, None)
        super().__init__(lambda: base, Pool(folder), END, None, Lengths(200, 768, 4096), Settings(), 0.7)
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.bounds: list[int | None] = []

    def _ask(
        self, path: str, what: str, jobs: Iterable[tuple[Any, dict[str, Any]]], keep: Any, total: int,
        check: Check = check_completion, at_most: int | None = None,
    ) -> None:  # fmt: skip
        self.bounds.append(at_most)
        for number, body in jobs:
            self.bodies.append(body)
            answered = self.reply(body.get("prompt"), body.get("prompt_logprobs"))
            reply = answered if isinstance(answered, dict) else {"choices": [{"prompt_logprobs": answered}]}
            try:
                check(reply)
            except AttemptError as error:
                keep(number, Outcome(None, error.kind, str(error), 0.1))
            else:
                keep(number, Outcome(reply, None, None, 0.1))


def served(prompt: list[int], top: int) -> list[Any]:
    """As vLLM answers: the own token, and the most likely ones."""
    likely = {str(1000 + i): {"logprob": -1.0 - i, "decoded_token": "x"} for i in range(top)}
    return [None, *({str(token): {"logprob": -40.0}, **likely} for token in prompt[1:])]


def test_the_same_answers_are_read_for_likelihoods_and_for_likely_tokens(tmp_path: Path) -> None:
    with Answering(tmp_path, served) as writer:
        for number in (1, 2):
            writer.pool.add(good(number))
        writer.measure([1])
        writer.soften([1, 2])
        writer.soften([1, 2])
    assert [body["prompt_logprobs"] for body in writer.bodies] == [0, TOP, TOP]
    assert writer.bounds == [None, 32]  # answers as long as these keep a server from everybody else
    assert writer.bodies[1]["prompt"] == [1, 2, 1, 4, 5, END]
    assert writer.pool.likelihoods[1].logprob == -120
    first, second = writer.pool.likely_tokens({1, 2})
    assert (first.number, second.number) == (1, 2)
    ids, logprobs = second.arrays
    assert ids.tolist() == [[1000 + i for i in range(TOP)]] * 3
    assert logprobs.tolist() == [[-1.0 - i for i in range(TOP)]] * 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (lambda prompt, top: None, "http://127.0.0.1:1/v1: the server returned no prompt_logprobs"),
        (lambda prompt, top: served(prompt, 5), f"http://127.0.0.1:1/v1: the server gave 6 of the {TOP} most likely"),
        (lambda prompt, top: served(prompt[1:], top), "log-probabilities for 5 of 6 prompt tokens"),
    ],
)
def test_a_server_that_gives_fewer_is_refused_and_nothing_is_kept(tmp_path: Path, reply: Reply, message: str) -> None:
    with Answering(tmp_path, reply) as writer:
        writer.pool.add(good(1))
        with pytest.raises(EndpointError, match=message):
            writer.soften([1])
    assert not writer.pool.soft_targets
    assert not (tmp_path / "likely_tokens.jsonl").exists()


RIGHT = {"text": "Why?", "token_ids": [5], "message": {"content": "So.", "reasoning": None}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("strange", "asked"),
    [
        ({}, None),
        ({"text": ["Why?"]}, "bad_shape"),
        ({"token_ids": 5}, "bad_shape"),
        ({"token_ids": ["5"]}, "bad_shape"),
        ({"token_ids": [1 << 31]}, "bad_shape"),
        ({"message": "So."}, None),
        ({"message": {"content": ["So."]}}, None),
        ({"message": {"content": "So.", "reasoning": {}}}, None),
    ],
)
def test_what_is_no_text_of_tokens_is_a_failed_row(tmp_path: Path, strange: dict[str, Any], asked: str | None) -> None:
    draws = [Draw(1, None, "en")]
    with Answering(tmp_path, lambda *_: {"choices": [RIGHT | strange], "prompt_token_ids": [1]}) as writer:
        writer.draw(draws, {1: None})
        writer.answer(draws)
    assert writer.pool.questions[1].failed == asked
    assert writer.pool.answers[1].failed == ("bad_shape" if strange and "text" not in strange else None)

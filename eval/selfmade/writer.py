"""Has a served base write: questions in the user's place, its answers to them, and how likely those are to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from configs.errors import EndpointError, TuneserveError
from configs.handover.prompt_logprobs import TOP, answer_logprob, answer_request, top_tokens
from configs.handover.selfmade import SoftTargets
from eval.ask.client import Client, Outcome
from eval.ask.endpoint import Endpoint, Settings, sampling
from eval.ask.replies import AttemptError, Check, check_completion
from eval.selfmade.draws import Draw
from eval.selfmade.pool import Answer, Likelihood, Pool, Question

_TOP_AT_ONCE = 32
"""Answers whose likely tokens are read at once. vLLM's process for requests spends several times as long on those as a
GPU does: more of them only let everybody else wait, who asks the same server."""

Progress = Callable[[str, int, int], None]
"""Called with what is written (`questions`, `answers`, `likelihoods`, `soft targets`), how many are done, and how many
there are."""


@dataclass(frozen=True)
class Lengths:
    """How long what is written may be, in tokens."""

    question: int
    answer: int
    row: int
    """Of prompt and answer together."""


@dataclass(frozen=True)
class Base:
    """A base that is served by vLLM and ready."""

    endpoint: Endpoint
    header: Callable[[str | None], Sequence[int]]
    """Token ids of the chat template up to where the user speaks, behind the given system prompt."""
    overhead: int
    """Tokens that the template adds to a question."""
    context: int | None
    """Longest context in tokens, where the server says."""


@dataclass
class Writer:
    """Asks a base, and puts what it writes into a pool. Use as a context manager.

    Args:
        connect: starts the base where it is needed; called once at most.
        pool: what was written.
        end_token_id: the token that ends a turn in training; what is written stops there.
        thinking: sent as `enable_thinking` with every question; None leaves the template's own default.
        settings: concurrency and time limits of the requests.
        temperature: of the answers; questions are drawn at 1.
    """

    connect: Callable[[], Base]
    pool: Pool
    end_token_id: int
    thinking: bool | None
    lengths: Lengths
    settings: Settings
    temperature: float
    on_progress: Progress = lambda what, done, total: None
    base: Base | None = None
    """None as long as nobody had to write."""
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    _client: Client | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._runner.run(self._client.__aexit__(None, None, None))
        self._runner.close()

    def draw(self, draws: Sequence[Draw], systems: Mapping[int, str | None]) -> None:
        """Draws the questions that are not in the pool; `systems` has the system prompt of each, by its number."""
        missing = [draw for draw in draws if draw.number not in self.pool.questions]
        if not missing:
            return
        base = self._connected()
        values = {**self._sampling(self.lengths.question, temperature=1.0), "return_token_ids": True}
        headers = {system: list(base.header(system)) for system in dict.fromkeys(systems[d.number] for d in missing)}

        def keep(draw: Draw, outcome: Outcome) -> None:
            choice = _choice(outcome)
            text = str(choice.get("text") or "").strip()
            ids = choice.get("token_ids") or []
            ended = choice.get("finish_reason") == "stop"
            self.pool.add(Question(
                number=draw.number, text=text, ended=ended, tokens=len(ids), failed=outcome.error_kind
            ))  # fmt: skip

        jobs = ((d, {**values, "prompt": headers[systems[d.number]]}) for d in missing)
        self._ask("completions", "questions", jobs, keep, len(missing), _check_question)

    def answer(self, draws: Sequence[Draw]) -> None:
        """Has those of the drawn questions answered whose answer is not in the pool."""
        missing = [draw for draw in draws if draw.number not in self.pool.answers]
        if not missing:
            return
        base = self._connected()
        longest = min(self.lengths.row, base.context or self.lengths.row)
        values = {**self._sampling(self.lengths.answer, temperature=self.temperature), "return_token_ids": True}
        if self.thinking is not None:
            values["chat_template_kwargs"] = {"enable_thinking": self.thinking}

        def body(draw: Draw) -> dict[str, Any]:
            question = self.pool.questions[draw.number]
            room = max(1, longest - base.overhead - question.tokens)
            messages = [{"role": "user", "content": question.text}]
            return {**values, "messages": messages, "max_tokens": min(values["max_tokens"], room)}

        def keep(draw: Draw, outcome: Outcome) -> None:
            choice = _choice(outcome)
            message = choice.get("message") or {}
            self.pool.add(Answer(
                number=draw.number,
                content=message.get("content") or "",
                reasoning=message.get("reasoning") or message.get("reasoning_content"),
                ended=choice.get("finish_reason") == "stop" and bool(choice.get("token_ids")),
                prompt_ids=(outcome.reply or {}).get("prompt_token_ids") or [],
                answer_ids=choice.get("token_ids") or [],
                failed=outcome.error_kind,
            ))  # fmt: skip

        jobs = ((draw, body(draw)) for draw in missing)
        self._ask("chat/completions", "answers", jobs, keep, len(missing), _check_answer)

    def measure(self, numbers: Sequence[int]) -> None:
        """Reads how likely answers are to the base, where the pool does not say.

        Raises:
            EndpointError: the server gives no likelihoods.
        """

        def likelihood(number: int, ids: Sequence[int], start: int, choice: Mapping[str, Any]) -> Likelihood:
            return Likelihood(number=number, logprob=answer_logprob(ids, start, choice))

        self._read_again("likelihoods", numbers, self.pool.likelihoods, likelihood)

    def soften(self, numbers: Sequence[int]) -> None:
        """Reads which tokens the base thinks likely at each place of answers, where the pool does not say.

        Raises:
            EndpointError: the server does not give so many.
        """

        def soft_targets(number: int, ids: Sequence[int], start: int, choice: Mapping[str, Any]) -> SoftTargets:
            return SoftTargets.of(number, top_tokens(ids, start, choice))

        self._read_again("soft targets", numbers, self.pool.soft_targets, soft_targets, TOP)

    def _read_again(
        self,
        what: str,
        numbers: Sequence[int],
        known: Container[int],
        line: Callable[[int, Sequence[int], int, Mapping[str, Any]], Likelihood | SoftTargets],
        top: int = 0,
    ) -> None:
        """Has the base read those answers that are not `known`, with `top` of its most likely tokens at each place."""
        missing = [number for number in numbers if number not in known]
        if not missing:
            return
        base = self._connected()

        def ids(number: int) -> list[int]:
            answer = self.pool.answers[number]
            return [*answer.prompt_ids, *answer.answer_ids]

        def keep(number: int, outcome: Outcome) -> None:
            if outcome.reply is None:
                raise EndpointError(
                    f"{base.endpoint.base_url}: no likelihood of answer {number}: {outcome.error_message}",
                    "repeat the command: what was written is kept",
                )
            start = len(self.pool.answers[number].prompt_ids)
            try:
                self.pool.add(line(number, ids(number), start, outcome.reply["choices"][0]))
            except TuneserveError as error:
                raise EndpointError(f"{base.endpoint.base_url}: {error.message}", error.next_step) from error

        jobs = ((number, answer_request(base.endpoint.model, ids(number), top)) for number in missing)
        self._ask("completions", what, jobs, keep, len(missing), at_most=_TOP_AT_ONCE if top else None)

    def _connected(self) -> Base:
        if self.base is None:
            self.base = self.connect()
        return self.base

    def _sampling(self, max_tokens: int, *, temperature: float) -> dict[str, Any]:
        assert self.base is not None
        values = sampling(Settings(temperature=temperature), max_tokens, is_vllm=True)
        # A seed of its own costs each request a kernel a token, ends vLLM's CPU build where a prompt is read in parts
        # (torch: "CPU Generator does not use offset"), and gives the same text only in the same batch.
        del values["seed"]
        # Special tokens inside what was written must be seen, or they would be trained without a word.
        values |= {"stop_token_ids": [self.end_token_id], "skip_special_tokens": False}
        return {"model": self.base.endpoint.model, **values}

    def _ask(
        self,
        path: str,
        what: str,
        jobs: Iterable[tuple[Any, dict[str, Any]]],
        keep: Callable[[Any, Outcome], None],
        total: int,
        check: Check = check_completion,
        at_most: int | None = None,
    ) -> None:
        done = 0

        def handle(item: Any, outcome: Outcome) -> None:
            nonlocal done
            keep(item, outcome)
            done += 1
            self.on_progress(what, done, total)

        async def ask() -> None:
            if self._client is None:
                assert self.base is not None
                self._client = await Client(self.base.endpoint, self.settings).__aenter__()
            if at_most is not None:
                self._client.at_most(at_most)
            bodies = ((item, json.dumps(body, ensure_ascii=False).encode(), check) for item, body in jobs)
            await self._client.ask_all(path, bodies, handle)

        self._runner.run(ask())


def _choice(outcome: Outcome) -> dict[str, Any]:
    """What was answered; empty where nothing was."""
    return dict(outcome.reply["choices"][0]) if outcome.reply else {}


def _check_question(reply: dict[str, Any]) -> None:
    """Raises `AttemptError` where a completion holds no text of token ids."""
    check_completion(reply)
    choice = reply["choices"][0]
    _require("text", choice.get("text"), str)
    _require_ids("token_ids", choice.get("token_ids"))


def _check_answer(reply: dict[str, Any]) -> None:
    """Raises `AttemptError` where an answer holds no texts, or something else in the place of token ids."""
    check_completion(reply)
    choice = reply["choices"][0]
    _require("message", choice.get("message"), dict)
    message = choice.get("message") or {}
    for name in ("content", "reasoning", "reasoning_content"):
        _require(name, message.get(name), str)
    _require_ids("token_ids", choice.get("token_ids"))
    _require_ids("prompt_token_ids", reply.get("prompt_token_ids"))


def _require_ids(name: str, value: object) -> None:
    _require(name, value, list)
    if isinstance(value, list) and not all(type(one) is int and 0 <= one < 1 << 31 for one in value):
        raise AttemptError("bad_shape", f"{name} holds something else than token ids")


def _require(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise AttemptError("bad_shape", f"{name} is no {kind.__name__} but {type(value).__name__}")

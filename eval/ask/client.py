"""Asks an OpenAI-compatible endpoint, many requests at a time.

    async with Client(endpoint, settings) as client:
        await client.ask_all("chat/completions", jobs, handle)

Every failed attempt belongs to a class (`http_429`, `timeout`, `connection`, `cut_stream`, `bad_json`, ...) and is
counted; most are repeated after a pause with jitter. A server that answers nobody stops all workers until it is back,
for `outage_s` at most.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from configs.errors import EndpointError
from configs.terminal.console import warn
from eval.ask.concurrency import ConcurrencyLevel
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.replies import AttemptError, Check, check_chat, first_choice, short
from eval.ask.transport import Transport

Item = TypeVar("Item")

# The pauses after so many refusals (429) outlast a limit of requests a minute.
_ATTEMPTS = {"timeout": 3, "bad_json": 3, "broken_off": 3, "http_429": 12}
_ATTEMPTS |= {"null_content": 2, "bad_shape": 2, "too_large": 2}
_DEFAULT_ATTEMPTS = 6
_COMING_UP = {"http_429", "http_502", "http_503", "http_504", "http_529", "timeout"}
"""What a server answers that is starting, or a gateway in front of it."""
_PUSHED_BACK = {"http_429", "http_503", "http_529", "timeout"}
_FATAL = {
    "http_401": "set the endpoint's API key in the environment variable {env}",
    "http_403": "the API key in {env} may not use this model; ask with another key",
    "http_404": "check the base URL and the model name: `curl {url}/models` lists what is served",
    "http_407": "write USER:PASSWORD@ before the host of the proxy that the environment names",
    "redirect": "if you trust that address, give it as the base URL; the key goes to no other than the one you name",
    "tls": "give the authority that signed its certificate: SSL_CERT_FILE=ca.pem; or http:// for a server without TLS",
    "name": "check the host of the base URL, and the network",
    "refused": "start the server, or check host and port of the base URL, and repeat the command",
    "unreachable": "check host and port of the base URL, the network, and proxies in the environment",
}
"""What repeating does not help, and what does. The last three are waited for once the server has answered."""
_AWAITED = {"connection", "refused", "unreachable", "name"}
"""A server that answered before and is away now."""
_LONGEST_PAUSE_S = 20.0
_LONGEST_RETRY_AFTER_S = 120.0
_MOST_AT_ONCE = 512
_DISPENSABLE = ("top_p", "n", "presence_penalty", "frequency_penalty", "seed", "stream")
"""Parameters whose values are those that a server takes by itself, or that change nothing of a likeliest answer."""
_FEW = 10
"""Questions of which all may fail for good, one after the other, without telling of the others."""


@dataclass(frozen=True)
class Outcome:
    """What became of a request: `reply` is the parsed JSON, or None with the last error's class and text.

    `failures` counts all failed attempts by class, those of requests that were answered in the end included.
    """

    reply: dict[str, Any] | None
    error_kind: str | None
    error_message: str | None
    latency_s: float
    failures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """Names that an endpoint lists (none where it has no list), and whether it is vLLM."""

    models: tuple[str, ...]
    is_vllm: bool


class Client:
    """A pool of connections to one endpoint. Use as an async context manager.

    A parameter that the endpoint refuses is left out, or goes under its newer name, where that changes no answer.

    Args:
        endpoint: who is asked.
        settings: how.
        jitter_seed: of the pauses.
        dispensable: further parameters that may be left out.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        jitter_seed: int | None = None,
        dispensable: tuple[str, ...] = (),
    ) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self._patience_s = max(settings.outage_s, settings.timeout_s)
        self.at_most(_MOST_AT_ONCE)
        self.failures: Counter[str] = Counter()
        self._random = random.Random(jitter_seed)
        self._transport = Transport(endpoint, settings.timeout_s)
        self._outage: asyncio.Task[None] | None = None
        self._answered_at = time.perf_counter()
        self._answered = self._failed = 0
        self._dispensable = (*_DISPENSABLE, *dispensable)
        self._refused: dict[str, str | None] = {}
        """Parameters that the endpoint does not take, with the name that it takes instead."""

    def at_most(self, requests: int) -> None:
        """Searches the level anew, up to so many requests at once, for those to come that are of another kind."""
        self.level = ConcurrencyLevel(self.settings.concurrency, most=requests, slow_s=self.settings.timeout_s / 3)

    async def __aenter__(self) -> Client:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outage is not None:
            self._outage.cancel()
        await self._transport.__aexit__(kind, error, trace)

    async def get(self, path: str) -> dict[str, Any]:
        """JSON of a GET below the base URL; raises `AttemptError`."""
        return await self._transport.request("GET", path)

    async def served(self) -> Served:
        """What the endpoint serves. A server that says that it is coming up is waited for, `outage_s` at most.

        Raises:
            EndpointError: there is no server (refused, unknown name, no TLS that is trusted), or what answers is none
                of models, or the key is refused, or the model's name is not served.
        """
        deadline = time.monotonic() + self.settings.outage_s
        failed = 0
        while True:
            try:
                reply = await self.get("models")
                break
            except AttemptError as error:
                failed += 1
                if error.kind in {"http_404", "http_405"}:
                    return Served((), is_vllm=False)
                tried_enough = failed >= _ATTEMPTS.get(error.kind, _DEFAULT_ATTEMPTS) and error.kind not in _COMING_UP
                if error.kind in _FATAL or not error.retry or tried_enough or time.monotonic() > deadline:
                    if await self._answers_anyway(error):
                        return Served((), is_vllm=False)
                    raise self._fatal(error) from error
                await asyncio.sleep(min(self._pause_s(failed, error.retry_after_s), 5.0))
        listed = reply.get("data")
        models = [model for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
        names = tuple(str(model.get("id")) for model in models)
        # A host of many models may serve more than it lists, such as one's own deployments, and refuses others itself.
        if names and self.endpoint.model not in names and (len(names) == 1 or not self.endpoint.headers()):
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            raise EndpointError(
                f"{self.endpoint.base_url} does not serve {self.endpoint.model!r}",
                f"it serves: {short(', '.join(names[:20]))}{more}",
            )
        return Served(names, is_vllm=any(model.get("owned_by") == "vllm" for model in models))

    async def _answers_anyway(self, error: AttemptError) -> bool:
        """Whether the model answers where the list of models, or a question, is kept from a key that may ask others."""
        if not error.kind.startswith(("http_", "bad_", "redirect")):
            return False
        body = {"model": self.endpoint.model, "messages": [{"role": "user", "content": "1"}]}
        try:
            first_choice(await self._transport.request("POST", "chat/completions", json.dumps(body).encode()))
        except AttemptError:
            return False
        return True

    async def ask(self, path: str, body: bytes, check: Check = check_chat) -> Outcome:
        """Posts one JSON body and repeats it as its errors allow.

        Raises:
            EndpointError: the key or the model is refused, the server stayed away for longer than `outage_s`, or it
                answered nobody for so long that no request before can still be what keeps it busy, and more failed
                for good than may.
        """
        failures: Counter[str] = Counter()
        while True:
            began, sent = time.perf_counter(), self._as_taken(body)
            try:
                reply = await self._transport.request("POST", path, sent)
                check(reply)
            except AttemptError as error:
                self._learn(error)
                if self._as_taken(body) != sent:
                    continue
                now = time.perf_counter()
                failures[error.kind] += 1
                self.failures[error.kind] += 1
                fatal = error.kind in _FATAL and error.kind not in _AWAITED
                # A firewall bars one question by its text; a key or a name that is wrong bars each.
                if fatal and not (path == "chat/completions" and await self._answers_anyway(error)):
                    raise self._fatal(error) from error
                silent = now - self._answered_at > self._patience_s
                last = not error.retry or failures[error.kind] >= _ATTEMPTS.get(error.kind, _DEFAULT_ATTEMPTS)
                last |= silent and error.kind == "http_429"
                self._failed += last
                if silent:
                    self._require_answers(error)
                if error.kind in _PUSHED_BACK:
                    self.level.pushed_back(now, now - began)
                if last:
                    return Outcome(None, error.kind, str(error), now - began, failures)
                if error.kind in _AWAITED:
                    await self._wait_for_server(str(error))
                else:
                    await asyncio.sleep(self._pause_s(failures.total(), error.retry_after_s))
            else:
                now = self._answered_at = time.perf_counter()
                self._answered += 1
                self.level.finished(now, now - began)
                return Outcome(reply, None, None, now - began, failures)

    async def ask_all(
        self,
        path: str,
        jobs: Iterable[tuple[Item, bytes, Check]],
        handle: Callable[[Item, Outcome], None],
        answered: int = 0,
    ) -> None:
        """Asks every job (item, JSON body, check), as many at a time as the level allows.

        `jobs` is drawn from as places come free; `handle` gets each item and its outcome in the order of finishing. The
        first exception of a request, of `jobs` or of `handle` ends all. `answered` counts what was before, of which
        these are what is missing.
        """
        self._answered += answered
        source = iter(jobs)
        active = 0
        self._answered_at = time.perf_counter()

        async def work() -> None:
            nonlocal active
            try:
                # A worker that the level no longer has room for goes home.
                while active <= self.level.limit:
                    job = next(source, None)
                    if job is None:
                        return
                    item, body, check = job
                    handle(item, await self.ask(path, body, check))
                    if active < self.level.limit:
                        hire()
            finally:
                active -= 1

        def hire() -> None:
            nonlocal active
            while active < self.level.limit:
                active += 1
                group.create_task(work())

        try:
            async with asyncio.TaskGroup() as group:
                hire()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _learn(self, error: AttemptError) -> None:
        """Notes a parameter that an error names as one that the endpoint does not take."""
        if error.kind not in {"http_400", "http_422"}:
            return
        newer, named = {"max_tokens": "max_completion_tokens"}, set(re.findall(r"['\"`](\w+)['\"`]", str(error)))
        known = [name for name, other in newer.items() if other in named]
        for name in (*known, *(name for name in self._dispensable if name in named)):
            if name not in self._refused:
                self._refused[name] = newer.get(name)
                if name not in newer:
                    warn(f"{self.endpoint.base_url} does not take {name} for {self.endpoint.model}: it is left out")

    def _as_taken(self, body: bytes) -> bytes:
        """A body without the parameters that the endpoint refused."""
        if not self._refused:
            return body
        values = json.loads(body)
        for name, other in self._refused.items():
            if name in values:
                value = values.pop(name)
                values |= {other: value} if other else {}
        return json.dumps(values).encode()

    def _require_answers(self, error: AttemptError) -> None:
        """Raises `EndpointError` where going on would only find out of each question that nobody is answered.

        What fails at the end of an evaluation that went well is no such case, however long it takes.
        """
        if self._failed <= max(_FEW, self.settings.max_error_rate * (self._answered + self._failed)):
            return
        limited = "repeat the command when the key's limit allows more, or ask with another one"
        broken = "mend the cause and repeat the command: what was answered is kept"
        raise EndpointError(
            f"{self.endpoint.base_url} has answered nobody for {self._patience_s:g} s: {error}",
            limited if error.kind == "http_429" else broken,
        ) from error

    def _fatal(self, error: AttemptError) -> EndpointError:
        step = _FATAL.get(
            error.kind,
            "check that the base URL is that of an OpenAI-compatible server, https:// where it has TLS; read its log",
        )
        return EndpointError(
            f"{self.endpoint.base_url} cannot be asked for {self.endpoint.model!r}: {error}",
            step.format(env=self.endpoint.api_key_env, url=self.endpoint.base_url),
        )

    def _pause_s(self, failed: int, retry_after_s: float | None) -> float:
        """Pause before the next attempt: exponential, half of it random, never less than what the server asked for."""
        pause_s = self._random.uniform(0.5, 1.0) * min(
            _LONGEST_PAUSE_S, self.settings.first_pause_s * 2 ** (failed - 1)
        )
        return max(pause_s, min(retry_after_s or 0.0, _LONGEST_RETRY_AFTER_S))

    async def _wait_for_server(self, cause: str) -> None:
        """Returns once the server answers; all workers share one wait."""
        if self._outage is None or self._outage.done():
            self._outage = asyncio.create_task(self._until_back(cause))
        await asyncio.shield(self._outage)

    async def _until_back(self, cause: str) -> None:
        began = time.monotonic()
        failed = 0
        while True:
            failed += 1
            await asyncio.sleep(min(self._pause_s(failed, None), 5.0))
            try:
                await asyncio.wait_for(self.get("models"), timeout=10.0)
            except TimeoutError:
                pass
            except AttemptError as error:
                # Anything but silence and "not yet" is a server that answers.
                if error.kind not in {*_AWAITED, "timeout", "http_502", "http_503", "http_504"}:
                    return
                cause = str(error)
            else:
                return
            away_s = time.monotonic() - began
            if away_s > self.settings.outage_s or self.endpoint.gone():
                raise EndpointError(
                    f"{self.endpoint.base_url} did not answer for {away_s:.0f} s: {cause}",
                    "start the server again and repeat the command: what was answered is kept",
                )

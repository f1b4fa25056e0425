"""Asks an OpenAI-compatible endpoint, many requests at a time.

    async with Client(endpoint, settings) as client:
        await client.ask_all("chat/completions", jobs, handle)

aiohttp on the hot path: it costs the client a third of the CPU of the openai SDK. Every failed attempt belongs to a
class (`http_429`, `timeout`, `connection`, `cut_stream`, `bad_json`, ...) and is counted; most are repeated after a
pause with jitter. A server that answers nobody stops all workers until it is back, for `outage_s` at most.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from configs.errors import EndpointError
from eval.ask.concurrency import ConcurrencyLevel
from eval.ask.endpoint import Endpoint, Settings

try:
    import orjson

    _loads: Callable[[bytes], Any] = orjson.loads
except ImportError:
    _loads = json.loads

Item = TypeVar("Item")
Check = Callable[[dict[str, Any]], None]
"""Raises `AttemptError` where a reply lacks what was asked for."""

_ATTEMPTS = {"timeout": 3, "bad_json": 3, "null_content": 2, "bad_shape": 2}
_DEFAULT_ATTEMPTS = 6
_RETRIED_STATUS = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_PUSHED_BACK = {"http_429", "http_503", "http_529", "timeout"}
_FATAL = {
    "http_401": "set the endpoint's API key in the environment variable {env}",
    "http_403": "the API key in {env} may not use this model; ask with another key",
    "http_404": "check the base URL and the model name: `curl {url}/models` lists what is served",
}
_LONGEST_PAUSE_S = 20.0
_LONGEST_RETRY_AFTER_S = 120.0


class AttemptError(Exception):
    """One attempt failed. `kind` is its error class, `retry_after_s` what the server asked to wait."""

    def __init__(self, kind: str, message: str, retry: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry = retry
        self.retry_after_s = retry_after_s


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


def check_chat(reply: dict[str, Any]) -> None:
    """Raises `AttemptError` where a chat reply lacks its message or its content is null without an explanation.

    Null content is fine where the thinking was cut (the reasoning holds it, and `finish_reason` is `length`).
    """
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        content = message["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise AttemptError("bad_shape", f"no choices[0].message.content in {_short(json.dumps(reply))}") from error
    if content is None:
        reasoning = message.get("reasoning") or message.get("reasoning_content")
        if not (reasoning and choice.get("finish_reason") == "length"):
            raise AttemptError("null_content", f"content is null, finish_reason {choice.get('finish_reason')!r}")


def check_completion(reply: dict[str, Any]) -> None:
    """Raises `AttemptError` where a completion reply has no choice."""
    if not (isinstance(reply.get("choices"), list) and reply["choices"]):
        raise AttemptError("bad_shape", f"no choices in {_short(json.dumps(reply))}")


class Client:
    """A pool of connections to one endpoint. Use as an async context manager."""

    def __init__(self, endpoint: Endpoint, settings: Settings, jitter_seed: int | None = None) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.level = ConcurrencyLevel(settings.concurrency, slow_s=settings.timeout_s / 3)
        self.failures: Counter[str] = Counter()
        self._random = random.Random(jitter_seed)
        self._headers = {**endpoint.headers(), "Content-Type": "application/json"}
        self._session: aiohttp.ClientSession | None = None
        self._outage: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self.settings.timeout_s),
            # A proxy from the environment is for what lies outside, never for a server on this machine.
            trust_env=URL(self.endpoint.base_url).host not in {"127.0.0.1", "localhost", "::1", "0.0.0.0"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        if self._outage is not None:
            self._outage.cancel()
        await self._session.close()

    async def get(self, path: str) -> dict[str, Any]:
        """JSON of a GET below the base URL; raises `AttemptError`."""
        return await self._attempt("GET", self._url(path), None)

    async def served(self) -> Served:
        """What the endpoint serves, waiting for a server that is not up yet.

        Raises:
            EndpointError: no server within `outage_s`, the key is refused, or the model's name is not served.
        """
        while True:
            try:
                reply = await self.get("models")
                break
            except AttemptError as error:
                if error.kind in {"http_404", "http_405"}:
                    return Served((), is_vllm=False)
                if not error.retry:
                    raise self._fatal(error) from error
                await self._wait_for_server(str(error))
        models = [model for model in reply.get("data", []) if isinstance(model, dict)]
        names = tuple(str(model.get("id")) for model in models)
        if names and self.endpoint.model not in names:
            raise EndpointError(
                f"{self.endpoint.base_url} does not serve {self.endpoint.model!r}", f"it serves: {', '.join(names)}"
            )
        return Served(names, is_vllm=any(model.get("owned_by") == "vllm" for model in models))

    async def ask(self, path: str, body: bytes, check: Check = check_chat) -> Outcome:
        """Posts one JSON body and repeats it as its errors allow.

        Raises:
            EndpointError: the key or the model is refused, or the server stayed away for longer than `outage_s`.
        """
        url = self._url(path)
        failures: Counter[str] = Counter()
        while True:
            began = time.perf_counter()
            try:
                reply = await self._attempt("POST", url, body)
                check(reply)
            except AttemptError as error:
                now = time.perf_counter()
                failures[error.kind] += 1
                self.failures[error.kind] += 1
                if error.kind in _FATAL:
                    raise self._fatal(error) from error
                if error.kind in _PUSHED_BACK:
                    self.level.pushed_back(now, now - began)
                if not error.retry or failures[error.kind] >= _ATTEMPTS.get(error.kind, _DEFAULT_ATTEMPTS):
                    return Outcome(None, error.kind, str(error), now - began, failures)
                if error.kind == "connection":
                    await self._wait_for_server(str(error))
                else:
                    await asyncio.sleep(self._pause_s(failures.total(), error.retry_after_s))
            else:
                now = time.perf_counter()
                self.level.finished(now, now - began)
                return Outcome(reply, None, None, now - began, failures)

    async def ask_all(
        self,
        path: str,
        jobs: Iterable[tuple[Item, bytes, Check]],
        handle: Callable[[Item, Outcome], None],
    ) -> None:
        """Asks every job (item, JSON body, check), as many at a time as the level allows.

        `jobs` is drawn from as places come free; `handle` gets each item and its outcome in the order of finishing. The
        first exception of a request, of `jobs` or of `handle` ends all.
        """
        source = iter(jobs)
        active = 0

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

    def _url(self, path: str) -> URL:
        return URL(f"{self.endpoint.base_url}/{path}")

    async def _attempt(self, method: str, url: URL, body: bytes | None) -> dict[str, Any]:
        assert self._session is not None
        try:
            async with self._session.request(method, url, data=body, headers=self._headers) as response:
                raw = await response.read()
                if response.status != 200:
                    raise _refusal(response, raw)
        except TimeoutError as error:
            raise AttemptError("timeout", f"no answer within {self.settings.timeout_s:g} s") from error
        except aiohttp.ClientPayloadError as error:
            raise AttemptError("cut_stream", f"the answer broke off: {error}") from error
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            raise AttemptError("connection", str(error) or type(error).__name__) from error
        except aiohttp.ClientError as error:
            raise AttemptError("protocol", f"{type(error).__name__}: {error}") from error
        try:
            reply = _parsed(raw)
        except (ValueError, RecursionError) as error:
            raise AttemptError("bad_json", f"{error} in {_short(raw)}") from error
        if not isinstance(reply, dict):
            raise AttemptError("bad_shape", f"not a JSON object: {_short(raw)}")
        return reply

    def _fatal(self, error: AttemptError) -> EndpointError:
        step = _FATAL.get(error.kind, "read the server's log").format(
            env=self.endpoint.api_key_env, url=self.endpoint.base_url
        )
        return EndpointError(f"{self.endpoint.base_url} refused {self.endpoint.model!r}: {error}", step)

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
        deadline = time.monotonic() + self.settings.outage_s
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
                if error.kind not in {"connection", "timeout", "http_502", "http_503", "http_504"}:
                    return
                cause = str(error)
            else:
                return
            if time.monotonic() > deadline:
                raise EndpointError(
                    f"{self.endpoint.base_url} did not answer for {self.settings.outage_s:g} s: {cause}",
                    "start the server again and repeat the command: what was answered is kept",
                )


def _parsed(raw: bytes) -> Any:
    try:
        return _loads(raw)
    except ValueError:
        return json.loads(raw)  # orjson refuses half of a surrogate pair, where a server may have cut an answer


def _refusal(response: aiohttp.ClientResponse, raw: bytes) -> AttemptError:
    return AttemptError(
        f"http_{response.status}",
        f"HTTP {response.status} {response.reason}: {_short(raw)}",
        retry=response.status in _RETRIED_STATUS,
        retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
    )


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None where it is missing or malformed."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _short(raw: bytes | str) -> str:
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    return text if len(text) <= 300 else text[:300] + "…"

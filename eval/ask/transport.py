"""One request to an OpenAI-compatible endpoint and its reply, with whatever goes wrong as a class of error.

aiohttp on the hot path: it costs the client a third of the CPU of the openai SDK.
"""

from __future__ import annotations

import email.utils
import json
import math
import time
from types import TracebackType
from typing import Any

import aiohttp
from yarl import URL

from configs.errors import without_credentials
from configs.network.addresses import proxy_for
from eval.ask.endpoint import Endpoint
from eval.ask.replies import AttemptError, short

_RETRIED_STATUS = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_CONNECT_S = 20.0
_LARGEST_REPLY_BYTES = 32_000_000
_SHORTEST_SECRET = 12
"""Characters: what is shorter, such as EMPTY, is none, and may be a word of an answer."""
_MOST_REDIRECTS = 3


class Transport:
    """A pool of connections to one endpoint. Use as an async context manager.

    Args:
        endpoint: who is asked; its key goes to no other address.
        timeout_s: for a whole request, in seconds.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._base_url = endpoint.base_url
        self._timeout_s = timeout_s
        self._headers = {**endpoint.headers(), "Content-Type": "application/json"}
        self._secret = self._headers.get("Authorization", "").rpartition(" ")[2].encode()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Transport:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_S),
            # What aiohttp finds for itself it takes from ~/.netrc too: a password in the place of the key.
            proxy=proxy_for(self._base_url),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def request(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """JSON object of the answer to one request below the base URL; raises `AttemptError`."""
        url = URL(f"{self._base_url}/{path}")
        try:
            raw = await self._exchange(method, url, body)
        except aiohttp.ConnectionTimeoutError as error:
            raise AttemptError("unreachable", f"no connection within {_CONNECT_S:g} s") from error
        except TimeoutError as error:
            raise AttemptError("timeout", f"no answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientPayloadError as error:
            raise AttemptError("cut_stream", f"the answer broke off: {error}") from error
        except aiohttp.ClientSSLError as error:
            raise AttemptError("tls", str(error), retry=False) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise AttemptError("name", f"the name {error.host} does not resolve: {error.os_error}") from error
        except aiohttp.ClientConnectorError as error:
            kind = "refused" if isinstance(error.os_error, ConnectionRefusedError) else "unreachable"
            raise AttemptError(kind, str(error)) from error
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            raise AttemptError("connection", str(error) or type(error).__name__) from error
        except aiohttp.ClientError as error:
            raise AttemptError("protocol", f"{type(error).__name__}: {error}") from error
        try:
            reply = json.loads(raw, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise AttemptError("bad_json", f"{why} in the reply {short(raw)}") from error
        if method == "GET" and isinstance(reply, list) and all(isinstance(model, dict) for model in reply):
            return {"data": reply}  # as some hosts have it
        if not isinstance(reply, dict):
            raise AttemptError("bad_shape", f"not a JSON object: {short(raw)}")
        return reply

    async def _exchange(self, method: str, url: URL, body: bytes | None) -> bytes:
        """Body of the answer; redirects are followed inside the origin that the user named, and nowhere else."""
        assert self._session is not None
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._session.request(
                method, url, data=body, headers=self._headers, allow_redirects=False
            ) as response:
                target = response.headers.get("Location")
                if response.status in {301, 302, 303, 307, 308} and target:
                    url = self._redirected(method, url, target, response.status)
                    continue
                raw = bytearray()
                async for chunk in response.content.iter_chunked(1 << 16):
                    raw += chunk
                    if len(raw) > _LARGEST_REPLY_BYTES:
                        raise AttemptError("too_large", f"an answer of more than {_LARGEST_REPLY_BYTES:,} bytes")
                answer = bytes(raw)
                if len(self._secret) >= _SHORTEST_SECRET:
                    answer = answer.replace(self._secret, b"***")  # pages for debugging repeat what they were sent
                if response.status != 200:
                    raise _refusal(response, answer)
                return answer
        raise AttemptError("redirect", f"more than {_MOST_REDIRECTS} redirects, the last to {url}", retry=False)

    @staticmethod
    def _redirected(method: str, url: URL, target: str, status: int) -> URL:
        try:
            to = url.join(URL(target))
            same = to.origin() == url.origin()
        except ValueError as error:
            raise AttemptError("redirect", f"redirects to {short(target)!r}, no address", retry=False) from error
        # The other codes turn a POST into a GET.
        if not same or (method != "GET" and status not in {307, 308}):
            raise AttemptError("redirect", f"redirects to {without_credentials(short(str(to)))}", retry=False)
        return to.with_user(None)  # the key is that of the address that the user named


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _refusal(response: aiohttp.ClientResponse, raw: bytes) -> AttemptError:
    return AttemptError(
        f"http_{response.status}",
        f"HTTP {response.status} {response.reason}: {short(raw)}",
        retry=response.status in _RETRIED_STATUS,
        retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
    )


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None where it is missing or malformed."""
    if not value:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None

"""openai's client for an endpoint that anybody may have put up: no redirects, and no reply without end.

A packed reply is refused, because a megabyte of it may become gigabytes; the request asks for none.
"""

from __future__ import annotations

import importlib
import ssl
from collections.abc import Iterator
from typing import Any

from openai import APIConnectionError, DefaultHttpxClient, OpenAI, OpenAIError

from configs.errors import first_line
from configs.network.addresses import http_address, past_proxies
from serve.api.client import LARGEST_REPLY_BYTES

# openai speaks through httpx or, from 3.0 on, through its successor of another name.
_http: Any = importlib.import_module(DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])

NO_ANSWER = (
    *(OpenAIError, _http.HTTPError, _http.InvalidURL, _http.StreamError),
    *(ValueError, TypeError, AttributeError, LookupError, RecursionError),
    ImportError,  # a SOCKS proxy without the package for it
)
"""What an endpoint makes the client raise that refuses, breaks off, or answers with anything but a chat completion."""


class _Bounded(_http.SyncByteStream):
    """The bytes of a reply as they come, up to a limit."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left = LARGEST_REPLY_BYTES
        for part in self._stream:
            left -= len(part)
            if left < 0:
                raise ValueError(f"an answer of more than {LARGEST_REPLY_BYTES:,} bytes")
            yield part

    def close(self) -> None:
        self._stream.close()


def openai_client(base_url: str, key: str | None) -> OpenAI:
    """A client of one endpoint, for a `with`."""
    direct = past_proxies(http_address(base_url).hostname or "")
    http = DefaultHttpxClient(
        trust_env=not direct,
        # Without the environment it would not ask SSL_CERT_FILE either.
        verify=ssl.create_default_context() if direct else True,
        follow_redirects=False,  # the conversation goes to the address that was named
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [_bound]},
    )
    return OpenAI(base_url=base_url, api_key=key or "none", max_retries=0, http_client=http)


def why(error: BaseException) -> str:
    """What went wrong, in the words of who noticed it."""
    noticed = error.__cause__ if isinstance(error, APIConnectionError) and error.__cause__ else error
    return first_line(noticed)


def _bound(response: Any) -> None:
    packed = response.headers.get("content-encoding", "identity")
    if packed not in ("", "identity"):
        raise ValueError(f"a packed answer ({packed[:40]}) that nobody asked for")
    response.stream = _Bounded(response.stream)

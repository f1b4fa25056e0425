"""What a mirror of the hub answers, looked at before the hub's client believes it.

The client names files in its cache by what headers and answers say, reads each to its end wherever that is, and follows
redirects and next pages wherever they lead, within a host with the user's token. Whoever serves a mirror could write
files elsewhere, fill memory and disk, and have the token sent to another port.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from configs.disk.files import parse_json
from configs.errors import without_credentials

LARGEST_ANSWER = 64 << 20
"""Bytes of what is no file of the repository: its description, its list of files."""
_LARGEST_PACKED = 1 << 20
"""Of an answer that is compressed, which may unpack to a thousand times that."""
_LONGEST_S = 120.0
_MOST_PAGES = 1000
"""Of a list of files, a thousand a page."""
_NAME = re.compile(r'(?:W/)?"?(?!\.{1,2}"?$)[A-Za-z0-9._+=:-]{1,128}"?')
"""Hashes, with what stands around an ETag; nothing that leads to another folder."""


class StrangeAnswer(OSError):
    """A mirror answered with what no hub answers."""


@cache
def look_at_answers(*, mirror: bool) -> None:
    """Has the hub's client wait for no answer for ever from now on, and look at every one of a mirror."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    set_client_factory(lambda: watched(default_client_factory()) if mirror else _impatient(default_client_factory()))


def watched(client: httpx.Client) -> httpx.Client:
    """The client, every answer to which is looked at before anyone reads it."""
    watch, hooks = _Watch(), _impatient(client).event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], watch.request],
        "response": [watch.response, *hooks["response"]],
    }
    return client


def _impatient(client: httpx.Client) -> httpx.Client:
    """The client, which gives up an answer that does not come: by itself it says with most requests that it waits."""

    def with_an_end(request: httpx.Request) -> None:
        waits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            name: waits.get(name) or _LONGEST_S for name in ("connect", "read", "write", "pool")
        }

    hooks = client.event_hooks
    client.event_hooks = {**hooks, "request": [*hooks["request"], with_an_end]}
    return client


class _Watch:
    """The hooks of one client."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        """Address of a file to the bytes that were announced for it."""
        self._pages = 0

    def request(self, request: httpx.Request) -> None:
        """Takes the token out of a request to another origin than the mirror's."""
        from huggingface_hub import constants

        if _origin(str(request.url)) != _origin(constants.ENDPOINT):
            request.headers.pop("authorization", None)

    def response(self, response: httpx.Response) -> None:
        """Looks at an answer whose body has not been read.

        Raises:
            StrangeAnswer: names that lead elsewhere, or a body without end.
        """
        url, method, headers = str(response.request.url), response.request.method, response.headers
        named = ("x-repo-commit", "x-linked-etag", "etag") if method == "HEAD" else ("x-repo-commit",)
        for header in named:
            if (value := headers.get(header)) is not None and not _NAME.fullmatch(value):
                raise StrangeAnswer(f"{header} is {value[:60]!r}, which is no hash")
        size = headers.get("x-linked-size") or (None if response.is_redirect else headers.get("content-length"))
        if method == "HEAD":
            if size and size.isdecimal():
                self._announce(url, headers.get("location"), int(size))
        elif "/api/" in response.request.url.path or method != "GET":  # what is sent is answered briefly, too
            self._stay(response)
            self._read(response)
        elif url in self._sizes:
            self._announce(url, headers.get("location"), self._sizes[url])
            response.stream = _Ended(response.stream, self._sizes[url])

    def _announce(self, url: str, location: str | None, size: int) -> None:
        self._sizes[url] = size
        if location:
            self._sizes[urljoin(url, location)] = size

    def _stay(self, response: httpx.Response) -> None:
        """Keeps to the mirror where an answer leads on: a next page at the hub itself was handed on from there.

        Raises:
            StrangeAnswer: it sends the question elsewhere.
        """
        from huggingface_hub import constants

        url, home = str(response.request.url), _origin(constants.ENDPOINT)
        if response.has_redirect_location and "/resolve-cache/" not in url:  # which is a file's, and may lie elsewhere
            to = urljoin(url, response.headers["location"])
            if _origin(url) == home != _origin(to):
                raise StrangeAnswer(f"it sends on to {without_credentials(to)[:100]}")
        if following := response.links.get("next", {}).get("url"):
            to = urljoin(url, following)
            if _origin(to) != home:
                to = f"{constants.ENDPOINT}{urlsplit(to).path}?{urlsplit(to).query}"
            response.headers["link"] = f"<{to}>;rel=next"

    def _read(self, response: httpx.Response) -> None:
        self._pages += "/tree/" in response.request.url.path
        if self._pages > _MOST_PAGES:
            raise StrangeAnswer("its list of files does not end")
        packed = response.headers.get("content-encoding", "identity") != "identity"
        response.stream = _Ended(response.stream, _LARGEST_PACKED if packed else LARGEST_ANSWER, _LONGEST_S)
        response.read()
        try:
            answer = parse_json(response.content)
        except ValueError:
            return  # the client says so itself
        for commit in _commits(answer):
            if not (isinstance(commit, str) and _NAME.fullmatch(commit)):
                raise StrangeAnswer(f"its commit is {str(commit)[:60]!r}, which is no hash")


class _Ended(httpx.SyncByteStream):
    """A body that ends: by what was announced, and by a time where one is given."""

    def __init__(self, stream: Any, most: int, seconds: float | None = None) -> None:
        self._stream, self._most = stream, most
        self._until = time.monotonic() + seconds if seconds else float("inf")

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        for part in self._stream:
            read += len(part)
            if read > self._most:
                raise StrangeAnswer(f"an answer of more than the {self._most:,} bytes that it may have")
            if time.monotonic() > self._until:
                raise StrangeAnswer(f"an answer that took longer than {_LONGEST_S:.0f} s")
            yield part

    def close(self) -> None:
        """Closes the connection's own stream."""
        self._stream.close()


def _commits(answer: Any) -> Iterator[Any]:
    """The values of `sha` in a description, and in those of a list of them."""
    for one in answer if isinstance(answer, list) else [answer]:
        if isinstance(one, dict) and one.get("sha") is not None:
            yield one["sha"]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)

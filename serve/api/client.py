"""Plain JSON over HTTP to our own server: readiness, parity and the proof need no more."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, TypeVar

from configs.errors import TuneserveError, first_line
from configs.files import parse_json


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an error: vLLM sends none, and the key would go along to wherever it points."""

    def redirect_request(self, *_: object) -> None:
        """Follows none."""


# The server is on this machine; a proxy from the environment would not find it.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())

IN_FLIGHT = 16
"""Requests sent at once when a server is checked."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Refused(TuneserveError):
    """The server answered with an error, or could not be reached.

    Args:
        status: HTTP status, None where there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message, "see the server's log: `tuneserve serve logs RUN`")
        self.status = status


@dataclass(frozen=True)
class ServerClient:
    """Requests to one server."""

    root_url: str
    """Such as `http://127.0.0.1:8000`."""
    api_key: str | None = None
    """Sent as a bearer token."""

    def get(self, path: str, timeout_s: float = 10) -> Any:
        """The JSON (or text) that a GET answers with, None for an empty body."""
        return self._send(urllib.request.Request(self.root_url + path), timeout_s)

    def post(self, path: str, body: Mapping[str, Any], timeout_s: float = 300) -> Any:
        """The JSON (or text) that a POST answers with."""
        request = urllib.request.Request(
            self.root_url + path,
            data=json.dumps(body, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json"},
        )
        return self._send(request, timeout_s)

    def healthy(self, timeout_s: float = 5) -> bool:
        """Whether `/health` answers 200."""
        try:
            self.get("/health", timeout_s)
        except Refused:
            return False
        return True

    def _send(self, request: urllib.request.Request, timeout_s: float) -> Any:
        if self.api_key:
            request.add_header("Authorization", f"Bearer {self.api_key}")
        where = f"{request.get_method()} {request.full_url}"
        try:
            with _opener.open(request, timeout=timeout_s) as response:
                data, kind = response.read(), response.headers.get_content_type()
        except urllib.error.HTTPError as error:
            body = error.read().decode(errors="replace")[:500]
            raise Refused(f"{where} answered {error.code}: {_error_text(body)}", error.code) from error
        except (OSError, HTTPException) as error:
            raise Refused(f"{where} failed: {getattr(error, 'reason', None) or error}") from error
        try:
            text = data.decode()
            # Some routes, such as the one that loads an adapter, answer with a sentence.
            return parse_json(text) if kind == "application/json" and text else text or None
        except ValueError as error:
            raise Refused(f"{where} answered with something that is no JSON: {first_line(error)}") from error


def in_parallel(ask: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """Asks for every item, `IN_FLIGHT` at once; answers in the order of the items, the first error is raised."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return list(pool.map(ask, items))


def _error_text(body: str) -> str:
    try:
        parsed = parse_json(body)
    except ValueError:
        return body
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    return str(error.get("message", body)) if isinstance(error, dict) else str(error)

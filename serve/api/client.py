"""Plain JSON over HTTP to our own server: readiness, parity and the proof need no more."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from typing import Any, TypeVar

from configs.disk.files import parse_json
from configs.errors import TuneserveError, first_line
from configs.network.addresses import http_address

IN_FLIGHT = 16
"""Requests sent at once when a server is checked."""
LARGEST_REPLY_BYTES = 64_000_000
BUSY_S = 300.0
"""How long a server may be busy with others before it answers."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Refused(TuneserveError):
    """The server answered with an error, or could not be reached.

    Args:
        status: HTTP status, None where there was no answer.
    """

    def __init__(self, message: str, status: int | None = None, next_step: str = "") -> None:
        super().__init__(message, next_step or "see the server's log: `tuneserve serve logs RUN`")
        self.status = status


@dataclass(frozen=True)
class ServerClient:
    """Requests to one server."""

    root_url: str
    """Such as `http://127.0.0.1:8000`."""
    api_key: str | None = None
    """Sent as a bearer token."""
    patience_s: float = 10
    """How long a GET is waited for. A server that reads long prompts answers nobody for many seconds: who knows that it
    is up waits for `BUSY_S`, and learns of its end at once."""

    def get(self, path: str, timeout_s: float | None = None) -> Any:
        """The JSON (or text) that a GET answers with within `timeout_s` (`patience_s`), None for an empty body."""
        return self._send("GET", path, None, self.patience_s if timeout_s is None else timeout_s)

    def post(self, path: str, body: Mapping[str, Any], timeout_s: float = BUSY_S) -> Any:
        """The JSON (or text) that a POST answers with within `timeout_s`."""
        return self._send("POST", path, json.dumps(body, ensure_ascii=False).encode(), timeout_s)

    def part(self, path: str, body: Mapping[str, Any], name: str, kind: type[Answer]) -> Answer:
        """What a name holds in the JSON that a POST answers with; raises `Refused` where it is not of that kind."""
        reply = self.post(path, body)
        found = reply.get(name) if isinstance(reply, dict) else None
        if not isinstance(found, kind):
            raise Refused(f"POST {self.root_url}{path} answered without {name}")
        return found

    def healthy(self, timeout_s: float = 5) -> bool:
        """Whether `/health` answers 200."""
        try:
            self.get("/health", timeout_s)
        except Refused:
            return False
        return True

    def _send(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Any:
        where = f"{method} {self.root_url}{path}"
        try:
            status, kind, data = self._exchange(method, path, body, timeout_s)
        except (OSError, HTTPException, ValueError, OverflowError) as error:
            step = "check the address and that its server runs; of one of ours see `tuneserve serve logs RUN`"
            raise Refused(f"{where} failed: {error}", next_step=step) from error
        if not 200 <= status < 300:  # a redirect too: vLLM sends none, and the key would go along to wherever it points
            raise Refused(f"{where} answered {status}: {_error_text(data.decode(errors='replace')[:500])}", status)
        try:
            text = data.decode()
            # Some routes, such as the one that loads an adapter, answer with a sentence.
            return parse_json(text) if kind == "application/json" and text else text or None
        except ValueError as error:
            raise Refused(f"{where} answered with something that is no JSON: {first_line(error)}") from error

    def _exchange(self, method: str, path: str, body: bytes | None, timeout_s: float) -> tuple[int, str, bytes]:
        """Status, content type and body of an answer.

        The connection is cut when time is up: a socket's own limit begins anew with every byte that drips in.
        """
        address = http_address(self.root_url)
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        # The server is on this machine; a proxy from the environment would not find it.
        with closing(kind((address.hostname or "").encode("idna").decode(), address.port, timeout=timeout_s)) as server:
            server.connect()
            late, line = threading.Event(), server.sock
            timer = threading.Timer(timeout_s, _hang_up, (line, late))
            timer.daemon = True
            timer.start()
            try:
                server.request(method, address.path + path, body, self._headers(body))
                with server.getresponse() as response:
                    data = response.read(LARGEST_REPLY_BYTES + 1)
                    if len(data) > LARGEST_REPLY_BYTES:
                        raise ValueError(f"an answer of more than {LARGEST_REPLY_BYTES:,} bytes")
                    if response.length:
                        raise IncompleteRead(data, response.length)
            except TimeoutError:
                late.set()  # the socket's own limit, a moment before the timer
            except (OSError, HTTPException):
                if not late.is_set():
                    raise
            finally:
                timer.cancel()
            if late.is_set():
                raise TimeoutError(f"no whole answer within {timeout_s:g} s")
            return response.status, response.headers.get_content_type(), data

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        return headers


def _hang_up(line: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


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

"""Answers to `tuneserve chat` that are none: one line each, and the conversation goes on."""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from configs.errors import ConfigError, TuneserveError
from configs.terminal.console import Terminal
from serve.api import openai_client
from serve.chat import ChatModel, converse, model_at

SAID = {"choices": [{"index": 0, "delta": {"content": "said"}}]}


def event(chunk: object) -> bytes:
    return b"data: " + (chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode()) + b"\n\n"


@pytest.fixture
def endpoint() -> Iterator[Callable[..., str]]:
    """Starts an endpoint that answers every request with a body and headers; gives its base URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes, status: int = 200, **headers: str) -> str:
        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Type", "text/event-stream")
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *args: object) -> None:
                """Keeps the test's output quiet."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Answers))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/v1"

    yield start
    for server in servers:
        server.shutdown()


def talk(url: str) -> str:
    lines, shown = iter(["one", "two", "/exit"]), io.StringIO()
    converse([ChatModel("m", url, "m")], Terminal(file=shown, width=200), read=lambda: next(lines))
    return shown.getvalue()


@pytest.mark.parametrize(
    "counted", ['"many"', "null", "{}", "[1]", "NaN", "-5", "1" + "0" * 400, "1e999", "true"], ids=lambda text: text[:6]
)
def test_a_count_of_tokens_that_is_none_is_not_shown(counted: str, endpoint: Callable[..., str]) -> None:
    usage = f'{{"choices": [], "usage": {{"completion_tokens": {counted}}}}}'
    shown = talk(endpoint(event(SAID) + event(usage.encode())))
    assert (shown.count("said"), shown.count("\n0 tokens, ")) == (2, 2)


def test_an_answer_that_breaks_off_is_one_line(endpoint: Callable[..., str]) -> None:
    shown = talk(endpoint(event(SAID), Content_Length="99999"))
    assert shown.count("m at http://127.0.0.1:") == 2
    shown = talk(endpoint(b"hello", 400, Content_Length="99999"))
    assert shown.count("m at http://127.0.0.1:") == 2


def test_an_answer_that_is_packed_is_not_unpacked(endpoint: Callable[..., str]) -> None:
    packed = gzip.compress(b" " * 1_000_000)
    assert talk(endpoint(packed, Content_Encoding="gzip")).count("a packed answer (gzip) that nobody asked for") == 2
    with pytest.raises(TuneserveError, match="a packed answer"):
        model_at(endpoint(packed, Content_Encoding="gzip"))


def test_an_answer_without_end_is_cut(endpoint: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_client, "LARGEST_REPLY_BYTES", 100_000)
    assert talk(endpoint(b"x" * 200_000)).count("an answer of more than 100,000 bytes") == 2


def test_a_redirect_is_not_followed(endpoint: Callable[..., str]) -> None:
    elsewhere = endpoint(event(SAID))
    assert "said" not in talk(endpoint(b"", 307, Location=f"{elsewhere}/chat/completions", Content_Length="0"))


def test_a_key_that_no_header_can_hold_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_API_KEY", "sk-secret\n")
    with pytest.raises(ConfigError, match="TUNESERVE_API_KEY holds a character that no header can") as refused:
        model_at("http://127.0.0.1:9/v1")
    assert "sk-secret" not in str(refused.value)

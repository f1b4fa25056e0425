"""`tuneserve chat` with endpoints that are slow, and with one whose answers are meant for the terminal."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.console import Console

from configs.errors import ConfigError, TuneserveError
from configs.terminal.console import Terminal
from serve.api.adapters import served_models
from serve.api.client import Refused, ServerClient
from serve.chat import ChatModel, converse, model_at
from serve.live_adapters import find_host


class Slow(BaseHTTPRequestHandler):
    """Answers a first question for 20 s, later ones at once."""

    asked: list[list[dict[str, str]]]
    hung_up: list[str]
    begun: threading.Semaphore

    def do_POST(self) -> None:
        messages = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        self.asked.append(messages)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for number in range(400 if len(messages) == 1 else 1):
                self.wfile.write(b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n')
                if number == 3:
                    self.begun.release()
                time.sleep(0.05)
        except OSError as error:
            self.hung_up.append(str(error))


@pytest.mark.parametrize("models", [1, 2])
def test_ctrl_c_ends_the_answer_and_not_the_conversation(models: int):
    Slow.asked, Slow.hung_up, Slow.begun = [], [], threading.Semaphore(0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lines = iter(["你好", "再来", "/exit"])

    def interrupt() -> None:
        for _ in range(models):
            assert Slow.begun.acquire(timeout=20)
        signal.raise_signal(signal.SIGINT)

    def read() -> str:
        line = next(lines)
        if line == "你好":
            threading.Thread(target=interrupt).start()
        return line

    began = time.monotonic()
    talkers = [ChatModel(name, f"http://127.0.0.1:{server.server_port}/v1", name) for name in ("base", "tuned")]
    converse(talkers[:models], Console(file=io.StringIO()), read=read)
    while len(Slow.hung_up) < models:  # noticed when it writes
        assert time.monotonic() - began < 10
        time.sleep(0.05)
    server.shutdown()
    assert len(Slow.asked) == 2 * models
    for messages in Slow.asked[models:]:
        assert [m["role"] for m in messages] == ["user", "assistant", "user"]
        assert set(messages[1]["content"]) == {"x"}


HOSTILE = "\x1b]52;c;cm0gLXJmIH4=\x07[bold]:smile:\x1b[2J"


class Attacker(BaseHTTPRequestHandler):
    """Answers and refuses with texts that would write the clipboard and clear the screen."""

    def do_POST(self) -> None:
        messages = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        refused = messages[-1]["content"] == "no"
        delta = {"content": HOSTILE, "reasoning": HOSTILE}
        choice = {"index": 0, "delta": delta, "finish_reason": HOSTILE}
        body = {"error": {"message": HOSTILE}} if refused else {"choices": [choice]}
        self.send_response(400 if refused else 200)
        self.send_header("Content-Type", "application/json" if refused else "text/event-stream")
        self.end_headers()
        self.wfile.write((json.dumps(body) if refused else f"data: {json.dumps(body)}\n\n").encode())

    def log_message(self, *args: object) -> None:
        """Keeps the test's output quiet."""


@pytest.mark.parametrize("models", [1, 2])
@pytest.mark.parametrize("kind", [Console, Terminal])
def test_what_a_model_says_is_shown_and_not_obeyed(models: int, kind: type[Console]):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Attacker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, lines = f"http://127.0.0.1:{server.server_port}/v1", iter(["hello", "no", "/exit"])
    screen = kind(file=io.StringIO(), width=200)
    talkers = [ChatModel(f"[/x]{HOSTILE}", url, name) for name in ("base", "tuned")]
    converse(talkers[:models], screen, read=lambda: next(lines))
    server.shutdown()
    said = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in said
    assert "\x07" not in said
    assert said.count("\\x1b]52;c;cm0gLXJmIH4=\\x07[bold]:smile:") >= 4 * models


BROKEN = [
    b"data: {",  # breaks off
    b"data: [1, 2]\n\n",
    b'data: {"choices": 5}\n\n',
    b'data: {"choices": [{"delta": "x"}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": ["x"]}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": 5}}]}\n\n',
    b"data: " + b"[" * 100_000 + b"\n\n",
    b"data: \xff\xfe\n\n",
    b'{"error": {"message": "no quota"}}',
]


@pytest.mark.parametrize("said", [*BROKEN, b""])
def test_an_answer_that_is_none_ends_the_turn_and_not_the_conversation(said: bytes):
    class Breaks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(said) + (0 if said else 100)))  # without a text: cut off
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: object) -> None:
            """Keeps the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Breaks)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lines, screen = iter(["one", "two\udcff", "/exit"]), Terminal(file=io.StringIO(), width=200)
    url = f"http://127.0.0.1:{server.server_port}/v1"
    converse([ChatModel("m", url, "m")], screen, read=lambda: next(lines))
    server.shutdown()
    assert screen.file.getvalue().count(url) == 2  # type: ignore[attr-defined]


def test_half_characters_do_not_break_the_history():
    sent: list[bytes] = []

    class Halves(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b'data: {"choices": [{"index": 0, "delta": {"content": "\\ud83d"}}]}\n\n')

        def log_message(self, *args: object) -> None:
            """Keeps the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Halves)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lines = iter(["one", "two", "/exit"])
    url = f"http://127.0.0.1:{server.server_port}/v1"
    converse([ChatModel("m", url, "m")], Terminal(file=io.StringIO()), read=lambda: next(lines))
    server.shutdown()
    assert [m["content"] for m in json.loads(sent[1])["messages"]] == ["one", "?", "two"]


@pytest.mark.parametrize(
    "listed", [b"{}", b"[]", b'{"data": []}', b'{"data": [{}]}', b'{"data": 5}', b"<html>", b"[" * 99_999]
)
def test_an_endpoint_that_lists_no_models_is_told_in_one_line(listed: bytes):
    class Lists(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(listed)

        def log_message(self, *args: object) -> None:
            """Keeps the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Lists)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(TuneserveError, match=root):
        model_at(f"{root}/v1")
    if listed != b'{"data": []}':
        with pytest.raises(TuneserveError, match=root):
            served_models(ServerClient(root))
    server.shutdown()


def test_a_redirect_is_not_followed_and_no_key_goes_with_it():
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/stolen")  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Keeps the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(Refused, match="302"):
        served_models(ServerClient(f"http://127.0.0.1:{server.server_port}", "key"))
    server.shutdown()
    assert asked == ["/v1/models"]


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_a_proxy_is_for_what_lies_elsewhere_and_hears_of_no_key(proxy: str, monkeypatch: pytest.MonkeyPatch):
    class Listing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "here"}]}')

        def log_message(self, *args: object) -> None:
            """Keeps the test's output quiet."""

    monkeypatch.setenv("ALL_PROXY", proxy)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for host in ("127.0.0.1", "localhost"):
        assert model_at(f"http://{host}:{server.server_port}/v1").label == "here"
    server.shutdown()
    with pytest.raises(TuneserveError, match="elsewhere"):
        model_at("http://elsewhere.invalid/v1")


@pytest.mark.parametrize("url", ["file:///etc", "ftp://x", "data:,x", "x", "http://", "http://user:secret@host/v1"])
def test_only_a_plain_web_address_is_asked(url: str):
    """A file is no server, and a password in an address would stand in every message."""
    with pytest.raises(ConfigError, match=r"no (plain )?http|user or password") as refused:
        find_host(base_url=url)
    assert "secret" not in str(refused.value)

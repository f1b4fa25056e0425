"""Ctrl-C while a slow endpoint answers in `tuneserve chat`."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.console import Console

from serve.chat import ChatModel, converse


class Slow(BaseHTTPRequestHandler):
    """Answers a first question for 20 s, later ones at once."""

    asked: list[list[dict[str, str]]]
    hung_up: list[str]

    def do_POST(self) -> None:
        messages = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        self.asked.append(messages)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for _ in range(400 if len(messages) == 1 else 1):
                self.wfile.write(b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n')
                time.sleep(0.05)
        except OSError as error:
            self.hung_up.append(str(error))


@pytest.mark.parametrize("models", [1, 2])
def test_ctrl_c_ends_the_answer_and_not_the_conversation(models: int):
    Slow.asked, Slow.hung_up = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lines = iter(["你好", "再来", "/exit"])

    def read() -> str:
        line = next(lines)
        if line == "你好":
            threading.Timer(1, signal.raise_signal, [signal.SIGINT]).start()
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

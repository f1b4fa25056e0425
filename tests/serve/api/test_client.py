"""Plain requests to a server that may be anything: every answer has an end, in time and in size."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cli import main
from serve.api import client
from serve.api.client import BUSY_S, Refused, ServerClient
from serve.process.server import VllmServer
from tests.serve.fakes import fake_command, free_port

START = b"HTTP/1.1 200 OK\r\n"


def dripping(data: bytes, pause_s: float = 0.05) -> Callable[[socket.socket], None]:
    def answer(line: socket.socket) -> None:
        while True:
            line.sendall(data)
            time.sleep(pause_s)

    return answer


def after(first: bytes, then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def answer(line: socket.socket) -> None:
        line.sendall(first)
        then(line)

    return answer


def saying(data: bytes) -> Callable[[socket.socket], None]:
    return lambda line: line.sendall(data)


@pytest.fixture
def served() -> Iterator[Callable[[Callable[[socket.socket], None]], ServerClient]]:
    """Starts a server that answers every request in the given way."""
    listening: list[socket.socket] = []

    def serve(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            try:
                line.settimeout(5)
                line.recv(65536)
                answer(line)
                line.shutdown(socket.SHUT_WR)
                while line.recv(65536):  # closed with something unread, what was sent would be lost
                    pass
            except OSError:
                pass
            finally:
                line.close()

    def start(answer: Callable[[socket.socket], None]) -> ServerClient:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        return ServerClient(f"http://127.0.0.1:{listener.getsockname()[1]}", "sk-secret")

    yield start
    for listener in listening:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    "answer",
    [
        dripping(b"H"),
        dripping(b"HTTP/1.1 100 Continue\r\n\r\n"),
        after(START, dripping(b"X-a: b\r\n")),
        after(START + b"Content-Length: 9999\r\n\r\n", dripping(b" ")),
        after(START + b"\r\n", dripping(b" ")),
        after(START + b"Transfer-Encoding: chunked\r\n\r\n", dripping(b"1\r\n \r\n")),
        after(START + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", dripping(b"X-a: b\r\n")),
    ],
    ids=["status", "continue", "headers", "body", "body without length", "chunks", "trailers"],
)
def test_an_answer_that_drips_is_waited_for_no_longer_than_told(
    answer: Callable[[socket.socket], None], served: Callable[..., ServerClient]
) -> None:
    asked, began = served(answer), time.monotonic()
    with pytest.raises(Refused, match=r"no whole answer within 0\.4 s"):
        asked.get("/v1/models", timeout_s=0.4)
    assert time.monotonic() - began < 5


def test_who_knows_that_a_server_is_up_waits_while_it_is_busy(served: Callable[..., ServerClient]) -> None:
    def late(line: socket.socket) -> None:
        time.sleep(0.8)
        line.sendall(START + b"Content-Type: application/json\r\n\r\n{}")

    asked = served(late)
    with pytest.raises(Refused, match=r"no whole answer within 0\.2 s"):
        replace(asked, patience_s=0.2).get("/v1/models")
    assert replace(asked, patience_s=10).get("/v1/models") == {}
    ours = VllmServer(fake_command(free_port(), "unused"), Path("unused.log"))
    assert ours.client.patience_s == BUSY_S > 60 > ServerClient("http://127.0.0.1:1").patience_s


def test_an_answer_without_end_is_cut(served: Callable[..., ServerClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LARGEST_REPLY_BYTES", 1_000_000)
    with pytest.raises(Refused, match="an answer of more than 1,000,000 bytes"):
        served(after(START + b"\r\n", dripping(b" " * 65536, pause_s=0))).get("/v1/models")


@pytest.mark.parametrize(
    "answer",
    [
        START + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
        START + b"Content-Length: 50\r\n\r\nhello",
        START + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nabc",
        START + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc",
        b"HTTP/1.1 400 x\r\nContent-Length: 50\r\n\r\nhello",
        b"HTTP/1.1 302 x\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n",
        b"hello",
        b"",
    ],
)
def test_an_answer_that_is_none_is_refused_in_one_line(answer: bytes, served: Callable[..., ServerClient]) -> None:
    with pytest.raises(Refused, match=r"^GET http://127.0.0.1:\d+/v1/models (failed|answered)"):
        served(saying(answer)).get("/v1/models")


def test_where_nobody_listens_the_address_is_to_be_checked() -> None:
    with pytest.raises(Refused, match="Connection refused") as refused:
        ServerClient(f"http://127.0.0.1:{free_port()}").get("/v1/models")
    assert "check the address" in refused.value.next_step


def test_answers_are_read_whole(served: Callable[..., ServerClient]) -> None:
    body = json.dumps({"data": "客" * 100_000}).encode()
    kind = b"Content-Type: application/json\r\n"
    for head in (b"Content-Length: %d\r\n" % len(body), b""):
        assert served(saying(START + kind + head + b"\r\n" + body)).get("/x") == json.loads(body)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert served(saying(START + kind + chunked)).post("/x", {}) == json.loads(body)
    assert served(saying(START + b"Content-Length: 0\r\n\r\n")).get("/health") is None


@pytest.mark.parametrize(
    ("models", "verb", "said"),
    [
        ([{"id": "a", "root": "/x\ud83d"}], ["list"], "/x\\ud83d"),
        ([{"id": "a", "root": "/x\0"}], ["list"], "/x\\x00"),
        ([], ["load", "b={}"], "the server lists no base model"),
    ],
)
def test_a_list_of_models_that_no_vllm_makes_is_no_traceback(
    models: list[dict[str, str]],
    verb: list[str],
    said: str,
    served: Callable[..., ServerClient],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 8, "target_modules": ["q_proj"]}')
    (tmp_path / "adapter_model.safetensors").touch()
    answer = START + b"Content-Type: application/json\r\n\r\n" + json.dumps({"data": models}).encode()
    address = served(saying(answer)).root_url
    with pytest.raises(SystemExit):
        main(["adapters", *(word.format(tmp_path) for word in verb), "--base-url", address])
    assert said in "".join(capsys.readouterr())


@pytest.mark.parametrize("said", [b"[]", b"", b'{"tokens": 5}'])
def test_an_answer_without_what_was_asked_for_is_refused(said: bytes, served: Callable[..., ServerClient]) -> None:
    with pytest.raises(Refused, match=r"^POST http://127.0.0.1:\d+/tokenize answered without tokens"):
        served(saying(START + b"Content-Type: application/json\r\n\r\n" + said)).part("/tokenize", {}, "tokens", list)

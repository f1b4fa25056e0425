"""Who can use a server: with a key every `/v1` route refuses a wrong one, and nothing but loopback listens without."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from openai import AuthenticationError, OpenAI

from configs.recipe.schema import ServeConfig
from serve.launch.api_key import OPEN_PATHS, REFUSAL
from serve.launch.command import build_command, installed_device
from serve.launch.target import folder_target
from serve.process.server import VllmServer
from tests.processes import command_of
from tests.serve.fakes import free_port

pytestmark = pytest.mark.slow

KEY = "key-that-must-not-show"


@pytest.fixture(scope="module")
def guarded(demo_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    if installed_device() != "cpu":
        pytest.skip("starts the CPU build of vLLM")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNESERVE_API_KEY", KEY)
        target = folder_target(demo_model, "demo", False)
        command = build_command(target, ServeConfig(port=free_port()), ["--enable-lora"])
        with VllmServer(command, tmp_path_factory.mktemp("logs") / "serve.log", 300) as server:
            yield server


def status(server: VllmServer, method: str, path: str, key: str | None) -> int:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = b"{}" if method in ("POST", "PUT", "DELETE") else None
    request = urllib.request.Request(server.command.root_url + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def routes(server: VllmServer) -> list[tuple[str, str]]:
    paths = server.client.get("/openapi.json")["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


@pytest.mark.parametrize("key", ["wrong", None, KEY[:-1]])
def test_without_the_key_every_route_but_the_open_ones_refuses(key: str | None, guarded: VllmServer):
    every = [
        *routes(guarded),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("POST", "//invocations"),
    ]
    assert sum(path.startswith("/v1") for _, path in every) >= 4
    assert {"/invocations", "/tokenize", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"} <= {
        path for _, path in every
    }
    assert {path for method, path in every if status(guarded, method, path, key) != 401} == OPEN_PATHS


PATHS = [
    *(
        "/metrics",
        "//metrics",
        "/metrics/",
        "/METRICS",
        "/%6detrics",
        "/metrics%2f",
        "/./metrics",
        "/health/../metrics",
    ),
    *(
        "/health/",
        "/health%2f..%2fmetrics",
        "/health;x",
        "/HEALTH",
        "/docs",
        "/openapi.json",
        "/v1/models",
        "//v1/models",
    ),
    *("/V1/models", "/v1/../metrics", "/tokenize", "/load", "/nowhere", "/", "*", "/ping/x", "/version/"),
]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get"]


def raw(server: VllmServer, head: str) -> tuple[int, bytes]:
    """Status and body of a request that is sent as it is written."""
    with socket.create_connection(("127.0.0.1", server.command.port), timeout=10) as connection:
        connection.sendall(f"{head}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    top, _, body = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), body


def test_no_method_and_no_spelling_of_a_path_answers_without_the_key(guarded: VllmServer):
    for method in METHODS:
        for path in PATHS:
            code, body = raw(guarded, f"{method} {path} HTTP/1.1")
            assert code in (400, 401), (method, path, code, body[:80])
            assert body in (b"", REFUSAL, b"Invalid HTTP request received."), (method, path, body[:80])


def test_an_open_path_answers_only_to_a_look(guarded: VllmServer):
    assert {raw(guarded, f"GET {path} HTTP/1.1")[0] for path in OPEN_PATHS} == {200}
    others = {raw(guarded, f"{method} {path} HTTP/1.1")[0] for method in ("POST", "OPTIONS") for path in OPEN_PATHS}
    assert others == {401}


def test_a_websocket_without_the_key_is_closed(guarded: VllmServer):
    headers = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {'A' * 22}==",
    )
    upgrade = "\r\n".join(headers)
    for path in ("/v1/realtime", "/metrics", "/health"):
        code, body = raw(guarded, f"GET {path} HTTP/1.1\r\n{upgrade}")
        assert (code, body) in ((401, REFUSAL), (403, b""), (200, b"")), (path, code, body)
        assert code != 200 or path in OPEN_PATHS


def test_a_browser_of_another_origin_is_told_no_and_nothing_else(guarded: VllmServer):
    asked = "Origin: https://evil.example\r\nAccess-Control-Request-Method: GET"
    code, body = raw(guarded, f"OPTIONS /metrics HTTP/1.1\r\n{asked}")
    assert (code, body) == (400, b"Disallowed CORS origin")


def test_with_the_key_the_other_routes_answer(guarded: VllmServer):
    body = {"model": "demo", "messages": [{"role": "user", "content": "你好"}]}
    assert guarded.client.post("/tokenize", body)["count"] > 0
    assert status(guarded, "GET", "/metrics", KEY) == 200


def test_the_openai_client_needs_the_key(guarded: VllmServer):
    question = [{"role": "user", "content": "你好"}]
    client = OpenAI(base_url=guarded.command.base_url, api_key=KEY, max_retries=0)
    assert client.chat.completions.create(model="demo", messages=question, max_tokens=16).choices[0].message.content
    stranger = OpenAI(base_url=guarded.command.base_url, api_key="wrong", max_retries=0)
    with pytest.raises(AuthenticationError):
        stranger.chat.completions.create(model="demo", messages=question)


def test_the_key_stands_in_no_log_and_on_no_command_line(guarded: VllmServer):
    assert KEY not in guarded.log.read_text()
    assert guarded.pid is not None
    family = [psutil.Process(guarded.pid), *psutil.Process(guarded.pid).children(recursive=True)]
    assert all(KEY not in command_of(process) for process in family)


def test_nothing_of_it_listens_beyond_loopback(guarded: VllmServer):
    assert guarded.pid is not None
    family = {guarded.pid, *(p.pid for p in psutil.Process(guarded.pid).children(recursive=True))}
    listening = [c for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN and c.pid in family]
    assert any(c.laddr.port == guarded.command.port for c in listening)
    assert {c.laddr.ip for c in listening if c.laddr.port == guarded.command.port} == {"127.0.0.1"}
    beyond = [c.laddr for c in listening if not c.laddr.ip.startswith("127.") and c.laddr.ip != "::1"]
    assert not beyond

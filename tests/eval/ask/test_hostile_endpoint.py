"""Endpoints that answer what nobody asked for: one strange answer is one error row, a wrong address is said at once."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from configs.errors import ConfigError, EndpointError
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.evaluate import evaluate, probe
from eval.ask.mock_server import MODEL, MockServer, reply_of
from eval.ask.results import read_results
from eval.compare.judge import ask_judge
from eval.tasks.task import Item, Task, conversation
from tests.eval.conftest import free_port, serving

QUICK = Settings(timeout_s=5.0, first_pause_s=0.01, outage_s=20.0, max_error_rate=1.0)
DEEP = 100_000


def message(content: Any, **more: Any) -> str:
    return json.dumps({"choices": [{"message": {"content": content, **more}, "finish_reason": "stop"}]})


STRANGE: dict[str, tuple[str, str]] = {
    "list": (message([{"type": "text", "text": "北京"}]), "bad_shape"),
    "number": (message(7), "bad_shape"),
    "truth": (message(True), "bad_shape"),
    "object": (message({"text": "北京"}), "bad_shape"),
    "thoughts as list": (message("北京", reasoning_content=["想"]), "bad_shape"),
    "finish reason as object": (
        json.dumps({"choices": [{"message": {"content": ""}, "finish_reason": {}}]}),
        "bad_shape",
    ),
    "lists in lists": ("[" * DEEP, "bad_json"),
    "objects in objects": ('{"choices":' * DEEP, "bad_json"),
    "deep content": ('{"choices":[{"message":{"content":' + "[" * 900 + "]" * 900 + "}}]}", "bad_shape"),
    "choices as object": ('{"choices": {"0": {}}}', "bad_shape"),
    "choices as text": ('{"choices": "abc"}', "bad_shape"),
    "choice as text": ('{"choices": ["abc"]}', "bad_shape"),
    "message as text": ('{"choices": [{"message": "abc"}]}', "bad_shape"),
    "message missing": ('{"choices": [{"text": "abc"}]}', "bad_shape"),
    "no object": ("[]", "bad_shape"),
    "null": ("null", "bad_shape"),
    "nothing": ("", "bad_json"),
    "html": ("<html><body>502</body></html>", "bad_json"),
    "not a number": ('{"choices": [{"message": {"content": "a"}}], "usage": {"total": NaN}}', "bad_json"),
    "number without end": ('{"choices": ' + "9" * 5000 + "}", "bad_json"),
    **{
        reason: (json.dumps(reply_of("北京", reason)), "broken_off")
        for reason in ("abort", "insufficient_system_resource", "network_error", "sensitive", "content_filter")
    },
    "busy": (json.dumps({**reply_of("系统繁忙"), "error": {"code": "1305"}}), "broken_off"),
    "failed on the way": (
        json.dumps({"choices": [{"message": {"content": "北"}, "finish_reason": None, "error": {"code": 502}}]}),
        "broken_off",
    ),
    **{f"barred by a {status}": ("blocked", f"http_{status}") for status in (401, 403, 404, 407)},
    "led to a login": ("https://login.example/", "redirect"),
    "too long": (message("好" * 600_000), "too_large"),
    "too large": ('{"choices": "' + "a" * 33_000_000 + '"}', "too_large"),
}
FINE: dict[str, str] = {
    "usage as list": json.dumps({**reply_of("北京"), "usage": [1]}),
    "usage as text": json.dumps({**reply_of("北京"), "usage": {"prompt_tokens": "many", "completion_tokens": -1}}),
    "usage in part": json.dumps({**reply_of("北京"), "usage": {"prompt_tokens": 3}}),
    "escape sequences": message("\x1b]52;c;Zm9v\x07\x1b[2J"),
    **{reason: json.dumps(reply_of("北京", reason)) for reason in ("STOP", "eos_token", "MAX_TOKENS", "")},
    "no error": json.dumps({**reply_of("北京"), "error": None}),
    "zero byte": message("\0"),
    "surrogate": message("北京\ud800"),
    "surrogate in thoughts": message("北京", reasoning="\udfff"),
    "digits": message("9" * 10_000),
    "line ends": message("一\u2028二\x85三\r\n四"),
}


class Strange(MockServer):
    """Answers the questions named in `STRANGE` and `FINE` with those bytes."""

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        prompt = body["messages"][-1]["content"]
        text, kind = {**STRANGE, **{name: (text, "") for name, text in FINE.items()}}.get(prompt, ("", ""))
        if kind == "redirect":
            return web.Response(status=302, headers={"Location": text})
        if prompt in STRANGE or prompt in FINE:
            status = int(kind[5:]) if kind.startswith("http_") else 200
            return web.Response(status=status, body=text.encode(), content_type="application/json")
        return await super()._answer(request, body)


def task(names: list[str], kind: str = "qa") -> Task:
    return Task("qa", kind, [Item(name, conversation(name), ["北京"]) for name in names])  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["qa", "number", "summary"])
def test_a_strange_answer_is_one_error_row_and_the_rest_is_scored(kind: str, tmp_path: Path) -> None:
    ordinary = [f"第{n}题：城市" for n in range(20)]
    asked = task([*STRANGE, *FINE, *ordinary], kind)
    with serving(Strange()) as endpoint:
        for _ in range(2):  # repeated, what failed is asked again and fails again, the rest stays
            found = {s.id: s for s in evaluate(endpoint, [asked], tmp_path, settings=QUICK)["qa"].samples}
            assert {name: found[name].error and found[name].error.kind for name in STRANGE} == {
                name: kind for name, (_, kind) in STRANGE.items()
            }
            assert {found[name].status for name in (*FINE, *ordinary)} == {"ok"}
    assert (found["eos_token"].finish_reason, "truncated" in found["MAX_TOKENS"].flags) == ("stop", True)
    assert found["usage as list"].usage is None
    assert found["usage in part"].usage == {"prompt_tokens": 3}
    assert len(read_results(tmp_path)["qa"].samples) == len(asked.items)
    assert all(len(found[name].error.message) < 500 for name in STRANGE if found[name].error)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "logprobs",
    [[], [1], "x", {"content": 3}, {"content": [3]}, {"content": [{"top_logprobs": {"A": 1}}]},
     {"content": [{"top_logprobs": [{"token": "A"}]}]},
     {"content": [{"top_logprobs": [{"token": "A", "logprob": "x"}]}]},
     {"content": [{"top_logprobs": [{"token": "A", "logprob": 10**400}]}]}],
    ids=range(9),
)  # fmt: skip
def test_strange_logprobs_are_an_error_row(logprobs: Any, tmp_path: Path) -> None:
    class Letters(MockServer):
        def _letter(self, prompt: str, letters: list[str]) -> dict[str, Any]:
            reply = super()._letter(prompt, letters)
            if prompt == "strange":
                reply["choices"][0]["logprobs"] = logprobs
            return reply

    items = [Item(name, conversation(name), ["A"], choices={"A": "a", "B": "b"}) for name in ("strange", "plain")]
    with serving(Letters(owned_by="vllm")) as endpoint:
        found = evaluate(endpoint, [Task("c", "choice", items)], tmp_path, settings=QUICK)["c"]
    assert {s.id: s.error and s.error.kind for s in found.samples} == {"strange": "bad_shape", "plain": None}


def test_answers_of_another_model_are_errors_and_asked_again(tmp_path: Path) -> None:
    class Gateway(MockServer):
        """Calls its model by a longer name, and hands some questions on to another one."""

        busy = True

        async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            prompt = body["messages"][-1]["content"]
            other = self.busy and int(prompt) % 5 == 0
            return web.json_response(reply_of("北京") | {"model": "fallback\ud800" if other else f"{MODEL}-2026"})

    gateway, asked = Gateway(), task([str(n) for n in range(20)])
    with serving(gateway) as endpoint:
        said = r"4 of 20 .* \(other_model 4\), .* answered by fallback.* by .*-2026"
        with pytest.raises(EndpointError, match=said) as refused:
            evaluate(endpoint, [asked], tmp_path, settings=replace(QUICK, max_error_rate=0.1))
        assert "eval.max_error_rate" in str(refused.value.next_step)
        gateway.busy = False
        found = evaluate(endpoint, [asked], tmp_path, settings=QUICK)["qa"]
    assert not found.errors
    assert len(gateway.bodies) == 24
    assert read_results(tmp_path)["qa"] == found


def test_a_password_of_netrc_goes_nowhere_in_the_place_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login me password s3cret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    server = MockServer()
    with serving(server) as here:
        monkeypatch.setenv("http_proxy", here.base_url.removesuffix("/v1"))
        for key in ("key", ""):
            monkeypatch.setenv("TUNESERVE_API_KEY", key)
            elsewhere = replace(here, base_url="http://models.example/v1")
            evaluate(elsewhere, [task(["a"])], tmp_path / f"answers{key}", settings=QUICK)
    assert [sent.get("Authorization") for sent in server.headers] == ["Bearer key", None]


class Answering:
    """An application whose every path answers the same, and what it was asked with."""

    def __init__(self, answer: Callable[[web.Request], web.StreamResponse]) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.app = web.Application()

        async def handle(request: web.Request) -> web.StreamResponse:
            self.seen.append((request.path, dict(request.headers)))
            return answer(request)

        self.app.router.add_route("*", "/{path:.*}", handle)


def refused_at_once(endpoint: Endpoint, within_s: float = 10.0, settings: Settings = QUICK) -> EndpointError:
    began = time.monotonic()
    with pytest.raises(EndpointError) as refused:
        probe(endpoint, settings)
    assert time.monotonic() - began < within_s
    assert refused.value.next_step
    return refused.value


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [(500, "boom", "HTTP 500"), (200, "<html>hello</html>", "Expecting value"), (200, "[1]", "not a JSON object"),
     (501, "", "HTTP 501"), (418, "", "HTTP 418"), (403, "no", "HTTP 403"),
     (401, "no", "HTTP 401")],
)  # fmt: skip
def test_a_list_of_models_that_is_none_is_said(status: int, text: str, said: str) -> None:
    with serving(Answering(lambda _: web.Response(status=status, text=text))) as endpoint:  # type: ignore[arg-type]
        assert said in refused_at_once(endpoint).message


def test_a_host_of_many_models_is_asked_for_one_that_it_does_not_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def listing(*names: str) -> Answering:
        return Answering(lambda _: web.json_response({"data": [{"id": name} for name in names]}))

    monkeypatch.setenv("TUNESERVE_API_KEY", "key")
    with serving(listing("a", "b")) as many, serving(listing("a")) as alone:  # type: ignore[arg-type]
        assert probe(replace(many, model="my-deployment"), QUICK).models == ("a", "b")
        assert "does not serve 'my-deployment'" in refused_at_once(replace(alone, model="my-deployment")).message
        monkeypatch.delenv("TUNESERVE_API_KEY")
        assert "does not serve 'my-deployment'" in refused_at_once(replace(many, model="my-deployment")).message


@pytest.mark.parametrize(
    ("status", "text"),
    [(401, "x-api-key is missing"), (403, "missing scope: model.read"), (400, "no route"), (500, ""), (200, "<html>"),
     (200, json.dumps([{"id": MODEL}, {"id": "another"}]))],
)  # fmt: skip
def test_a_host_that_lists_no_models_or_in_its_own_way_is_asked_all_the_same(
    status: int, text: str, tmp_path: Path
) -> None:
    class Closed(MockServer):
        async def _models(self, request: web.Request) -> web.Response:
            return web.Response(status=status, text=text)

    with serving(Closed()) as endpoint:
        assert not evaluate(endpoint, [task(["a", "b"])], tmp_path, settings=QUICK)["qa"].errors


class Picky(MockServer):
    """Takes no max_tokens, as OpenAI's newer models, no seed, as Mistral's, and a temperature of 1 alone."""

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
            return web.json_response({"error": {"message": said, "param": "max_tokens"}}, status=400)
        if "seed" in body:
            return web.json_response({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}, status=422)
        if body.get("temperature", 1) != 1:
            return web.json_response({"error": {"message": "'temperature' does not support 0"}}, status=400)
        return await super()._answer(request, body)


def test_parameters_that_a_server_does_not_take_are_left_out_where_that_changes_no_answer(tmp_path: Path) -> None:
    server, asked = Picky(), task([str(n) for n in range(20)])
    with serving(server) as endpoint:
        with pytest.raises(EndpointError, match="'temperature' does not support 0"):
            evaluate(endpoint, [asked], tmp_path, settings=replace(QUICK, max_error_rate=0.1))
        found = evaluate(endpoint, [asked], tmp_path, settings=replace(QUICK, temperature=1.0))["qa"]
        base, tuned = (replace(found, samples=[replace(s, answer=text) for s in found.samples]) for text in "ab")
        judged = ask_judge(endpoint, base, tuned, QUICK)
    assert (found.errors, judged.failures) == ([], 20)  # it answers, though no judge's words
    assert server.bodies[-1].keys() == {"model", "messages", "top_p", "max_completion_tokens", "n", "presence_penalty",
                                        "frequency_penalty", "stream"}  # fmt: skip


def test_a_server_that_comes_up_is_waited_for() -> None:
    class Loading(MockServer):
        asked_for_models = 0

        async def _models(self, request: web.Request) -> web.Response:
            self.asked_for_models += 1
            return web.Response(status=503) if self.asked_for_models < 12 else await super()._models(request)

    with serving(Loading()) as endpoint:
        assert probe(endpoint, replace(QUICK, first_pause_s=0.001)).models == (MODEL,)


def test_one_that_never_comes_up_is_given_up() -> None:
    with serving(Answering(lambda _: web.Response(status=503))) as endpoint:  # type: ignore[arg-type]
        assert "HTTP 503" in refused_at_once(endpoint, settings=replace(QUICK, outage_s=0.5)).message


def test_a_closed_port_is_said_at_once() -> None:
    said = refused_at_once(Endpoint(f"http://127.0.0.1:{free_port()}", "m"), 3.0, Settings())
    assert "onnect call failed" in said.message or "refused" in said.message.lower()
    assert "start the server" in said.next_step


def test_a_name_that_does_not_resolve_is_said_at_once() -> None:
    said = refused_at_once(Endpoint("http://no-such-host.invalid:8000", "m"), settings=Settings())
    assert "no-such-host.invalid does not resolve" in said.message


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[Endpoint]:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port, loop = free_port(), asyncio.new_event_loop()
    runner = web.AppRunner(MockServer().app, access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield Endpoint(f"https://127.0.0.1:{port}", MODEL)
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_certificate_that_nobody_signed_is_said_at_once(self_signed: Endpoint) -> None:
    said = refused_at_once(self_signed, settings=Settings())
    assert "certificate" in said.message.lower()
    assert "SSL_CERT_FILE" in said.next_step
    said = refused_at_once(Endpoint(self_signed.base_url.replace("https:", "http:"), MODEL), settings=QUICK)
    assert "https:// where it has TLS" in said.next_step


def test_tls_to_a_server_without_it_is_said_at_once(endpoint: Endpoint) -> None:
    said = refused_at_once(Endpoint(endpoint.base_url.replace("http:", "https:"), MODEL), settings=Settings())
    assert "SSL" in said.message or "ssl" in said.message
    assert "http://" in said.next_step


def test_what_is_no_web_server_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            for _ in range(20):
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        threading.Thread(target=greet, daemon=True).start()
        refused_at_once(Endpoint(f"http://127.0.0.1:{listening.getsockname()[1]}", "m"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_does_not_follow_a_redirect_elsewhere(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_API_KEY", "secret-key")
    elsewhere = Answering(lambda _: web.json_response({"data": []}))
    with serving(elsewhere) as there:  # type: ignore[arg-type]
        target = there.base_url.replace("://", "://user:pass@") + "/models"
        redirecting = Answering(lambda _: web.Response(status=status, headers={"Location": target}))
        with serving(redirecting) as endpoint:  # type: ignore[arg-type]
            said = refused_at_once(endpoint)
    assert "redirects to http://127.0.0.1" in said.message
    assert "pass" not in said.message
    assert elsewhere.seen == []


def test_a_redirect_on_the_same_server_is_followed_and_a_circle_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_API_KEY", "key")

    def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            to = str(request.url.with_user("else").with_password("where")) + "/"
            return web.Response(status=308, headers={"Location": to})
        assert request.headers["Authorization"] == "Bearer key"
        return web.json_response({"data": [{"id": MODEL}]})

    with serving(Answering(answer)) as endpoint:  # type: ignore[arg-type]
        assert probe(endpoint, QUICK).models == (MODEL,)
    circle = Answering(lambda request: web.Response(status=307, headers={"Location": str(request.url)}))
    with serving(circle) as endpoint:  # type: ignore[arg-type]
        assert "more than 3 redirects" in refused_at_once(endpoint).message


class Repeating(MockServer):
    """Repeats what it was sent, as pages for debugging do."""

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": str(request.headers)}, status=400)


def test_user_and_password_are_sent_and_written_nowhere(tmp_path: Path) -> None:
    server = Repeating()
    with serving(server) as plain:
        endpoint = Endpoint(plain.base_url.replace("://", "://user:p%40ss@"), MODEL)
        again = replace(endpoint, label="base_repeat")
        evaluate(again, [task(["第1题：城市"])], tmp_path, settings=QUICK)
    assert server.headers[0]["Authorization"] == "Basic dXNlcjpwQHNz"
    assert endpoint.base_url == plain.base_url
    written = "".join(file.read_text(encoding="utf-8") for file in tmp_path.iterdir()) + repr(again)
    assert "Basic ***" in written
    assert "ss@" not in written
    assert "dXNlcjpwQHNz" not in written


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "ftp://a/v1", "http://", "http://[::1", "http://a:99999/v1", "http://a:x/v1", "http:// a/v1",
     "http://a\n/v1", "http://a/v1?key=1", "http://a/v1#x", "file:///etc/passwd", "http://user:secret@/v1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Endpoint(url, "m")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["a\nHost: b", "ключ", "a\0"])
def test_a_key_that_no_header_can_hold_is_said_without_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"TUNESERVE_API_KEY": key})
    with pytest.raises(ConfigError, match="TUNESERVE_API_KEY") as refused:
        Endpoint("http://a/v1", "m").headers()
    assert key not in str(refused.value)

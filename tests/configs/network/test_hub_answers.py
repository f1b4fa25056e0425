"""A mirror of the hub that lies: nothing leaves the cache, every answer ends, the token stays with its origin."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import httpx
import pytest
from huggingface_hub import constants

from configs.network.hub_answers import StrangeAnswer, watched

HUB = "http://127.0.0.1:1"
FILE = f"{HUB}/owner/tiny/resolve/main/config.json"
API = f"{HUB}/api/models/owner/tiny"
HASH = "a" * 40


class Endless(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)


def asked(method: str, url: str, *answers: httpx.Response) -> httpx.Response:
    """What the watched client makes of the last of these answers."""
    waiting = list(answers)
    client = watched(httpx.Client(transport=httpx.MockTransport(lambda request: waiting.pop(0))))
    for _ in answers[:-1]:
        client.head(url)
    return client.request(method, url)


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
@pytest.mark.parametrize("value", ["../../x", '"../x"', "/tmp/x", "..", '"."', "a/b", "a\\b", "", "x" * 200])
def test_a_name_that_leads_out_of_the_cache_is_refused(header: str, value: str) -> None:
    with pytest.raises(StrangeAnswer, match="which is no hash"):
        asked("HEAD", FILE, httpx.Response(200, headers={header: value}))


@pytest.mark.parametrize("value", [HASH, f'"{HASH}"', f'W/"{HASH}"', '"5d41402a-3"', "b" * 64])
def test_the_names_that_hubs_and_their_stores_give_are_taken(value: str) -> None:
    headers = {"ETag": value, "X-Linked-Etag": value, "X-Repo-Commit": HASH}
    assert asked("HEAD", FILE, httpx.Response(200, headers=headers)).status_code == 200


@pytest.mark.parametrize("sha", ["../../x", "/tmp/x", "", 5, ["x"]])
def test_a_commit_that_is_none_is_refused(sha: object) -> None:
    for answer in ({"id": "owner/tiny", "sha": sha}, [{"sha": HASH}, {"sha": sha}]):
        with pytest.raises(StrangeAnswer, match="its commit is"):
            asked("GET", API, httpx.Response(200, json=answer))
    assert asked("GET", API, httpx.Response(200, json={"sha": HASH})).json() == {"sha": HASH}


def test_answers_end() -> None:
    for method, url in (("GET", API), ("POST", f"{HUB}/owner/tiny.git/info/lfs/objects/batch"), ("PUT", f"{HUB}/1")):
        with pytest.raises(StrangeAnswer, match="an answer of more than the 67,108,864 bytes"):
            asked(method, url, httpx.Response(200, stream=Endless()))
    announced = httpx.Response(200, headers={"X-Linked-Size": "5000000"})
    with pytest.raises(StrangeAnswer, match="an answer of more than the 5,000,000 bytes"):
        asked("GET", FILE, announced, httpx.Response(200, stream=Endless()))
    # Stores elsewhere send the file: the size that was announced holds there too.
    announced = httpx.Response(302, headers={"X-Linked-Size": "5", "Location": "http://store.example/1"})
    client = watched(httpx.Client(transport=httpx.MockTransport(
        lambda request: announced if request.method == "HEAD" else httpx.Response(200, stream=Endless())
    )))  # fmt: skip
    client.head(FILE)
    with pytest.raises(StrangeAnswer, match="an answer of more than the 5 bytes"):
        client.get("http://store.example/1")


def test_a_list_of_files_ends() -> None:
    client = watched(httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json=[]))))
    for _ in range(1000):
        client.get(f"{API}/tree/main")
    with pytest.raises(StrangeAnswer, match="its list of files does not end"):
        client.get(f"{API}/tree/main")


@pytest.mark.parametrize("to", ["http://other:1/api/x", "//other/x", "https://127.0.0.1:1/api/x", "/api/y"])
def test_a_question_goes_to_the_mirror_alone(to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", HUB)
    moved = httpx.Response(307, headers={"Location": to})
    if to == "/api/y":
        assert asked("GET", API, moved).status_code == 307
    else:
        with pytest.raises(StrangeAnswer, match="it sends on to http"):
            asked("GET", API, moved)


@pytest.mark.parametrize(
    ("url", "sent"),
    [(FILE, True), ("http://127.0.0.1:2/x", False), ("https://127.0.0.1:1/x", False), ("http://other:1/x", False)],
)
def test_the_token_goes_to_the_mirror_alone_and_no_question_waits_for_ever(
    url: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", HUB)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    client = watched(httpx.Client(transport=httpx.MockTransport(answer)))
    client.get(url, headers={"Authorization": "Bearer hf_x"}, timeout=None)
    assert ("authorization" in seen[0].headers) == sent
    assert seen[0].extensions["timeout"]["read"] == 120
    client.get(url, timeout=7)
    assert seen[1].extensions["timeout"]["read"] == 7


def test_the_client_of_the_hub_looks_at_a_mirrors_answers_and_logs_no_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import close_session, get_session, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    from configs.network.hub import stay_with_the_named_hub
    from configs.network.hub_answers import look_at_answers

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    look_at_answers.cache_clear()
    waits: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        waits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, headers={"ETag": "../x"})

    try:
        monkeypatch.setenv("HF_ENDPOINT", "https://huggingface.co")
        stay_with_the_named_hub()
        session = get_session()
        session._transport = httpx.MockTransport(answer)
        session.head("http://other.example/x", timeout=None)  # the hub itself is believed, and not waited for for ever
        assert waits == [120]
        monkeypatch.setenv("HF_ENDPOINT", HUB)
        stay_with_the_named_hub()
        session = get_session()
        session._transport = httpx.MockTransport(answer)
        with pytest.raises(StrangeAnswer):
            session.head("http://other.example/x")
        said = io.StringIO()
        for handler in logging.getLogger("huggingface_hub").handlers:
            monkeypatch.setattr(handler, "stream", said)
        logging.getLogger("huggingface_hub.utils._http").warning("asking %s: \x9d52", "http://me:secret@mirror/x")
        assert said.getvalue() == "asking http://mirror/x: \\x9d52\n"
    finally:
        close_session()
        set_client_factory(default_client_factory)
        look_at_answers.cache_clear()

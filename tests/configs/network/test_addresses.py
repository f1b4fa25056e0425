"""Addresses and keys that no request can be made of are refused by whoever is given them."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.network.addresses import http_address, key_in, proxy_for
from configs.network.hub import resolve_model, stay_with_the_named_hub
from eval.ask.endpoint import Endpoint
from serve.chat import model_at
from serve.live_adapters import find_host

NONE = (
    *("", "foo", "http://", "http:///v1", "//127.0.0.1:9/v1", "file:///etc/passwd", "ftp://x/"),
    *("http://[::1", "http://[::1]:x/v1", "http://127.0.0.1:99999/v1", "http://127.0.0.1:-1", "http://h:0/v1"),
    *("http://a b/v1", "http://h/\r\nX: y", "http://\u202eevil/v1", "http://h\x00/v1", "http://\udcff/v1"),
    *(
        f"http://{'a' * 300}.com/v1",
        f"http://h/{'x' * 70_000}",
        "http://127.1/v1",
        "http://me:a\\b@h/v1",
        "http://\u200bh/v1",
        "http://xn--/",
    ),
)


@pytest.mark.parametrize("address", NONE, ids=lambda text: ascii(text)[:24])
def test_what_is_no_address_is_one_sentence_everywhere(address: str) -> None:
    asked = [http_address, lambda text: Endpoint(text, "m"), model_at]
    for ask in [*asked, lambda text: find_host(base_url=text)] if address else asked:
        with pytest.raises(ConfigError, match=r"is no http address\n.*write it like http://127\.0\.0\.1:8000/v1"):
            ask(address)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8000/v1", "HTTPS://客服.example", "http://[::1]:8000/", "http://h"]
)
def test_what_is_one_is_taken_apart(address: str) -> None:
    assert http_address(address).hostname in ("127.0.0.1", "客服.example", "::1", "h")
    assert Endpoint(address, "m").base_url.endswith("/v1")


@pytest.mark.parametrize(
    "address",
    [
        r"http://me:\s3cret@h",
        "me:s3cret@127.0.0.1/v1",
        "http://me:s3cret@a b/v1",
        "http://h/v1?key=s3cret",
        "http://h/v1#s3cret",
    ],
)
def test_a_refused_address_is_shown_without_its_secret(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ConfigError) as refused:
        Endpoint(address, "m")
    assert "s3cret" not in str(refused.value)
    for ask in (stay_with_the_named_hub, lambda: model_at(address), lambda: find_host(base_url=address)):
        with pytest.raises(ConfigError) as refused:
            ask()
        assert "s3cret" not in str(refused.value)
    assert str(ConfigError(f"{Path('http://me:s3cret@h/v1')}: no such file")) == "http:/h/v1: no such file"


@pytest.mark.parametrize(
    "mirror", ["me:s3cret@h", "http:/me:s3cret@h", "http://me:s3cret@[::1", "http://me:s3cret@h:x", "h?t=s3cret"]
)
def test_a_mirror_that_is_no_address_is_said_without_its_secret(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", mirror)
    with pytest.raises(ConfigError, match=r"HF_ENDPOINT .* is no http address\n.*https://hf-mirror\.com") as refused:
        resolve_model("owner/name")
    assert "s3cret" not in str(refused.value)
    monkeypatch.setenv("HF_ENDPOINT", "")  # as compose files pass on what is not set
    assert not stay_with_the_named_hub()


@pytest.mark.parametrize("key", ["sk-secret\n", "sk-secret\r", "sk-secret客", "sk-secret\udcff", "sk-secret\x7f"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", key)
    with pytest.raises(ConfigError, match="the key in SOME_KEY holds a character that no header can") as refused:
        key_in("SOME_KEY")
    assert "sk-secret" not in str(refused.value)
    monkeypatch.delenv("SOME_KEY")
    assert key_in("SOME_KEY") == ""
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", key)  # whose client shows it
    with pytest.raises(ConfigError, match="the key in MODELSCOPE_API_TOKEN holds"):
        resolve_model("owner/name", "modelscope")


@pytest.mark.parametrize(
    ("address", "named", "asked"),
    [("http://10.1.2.3:8000/v1", "http://proxy:1", None), ("http://[fd00::2]/v1", "http://proxy:1", None),
     ("http://11.1.2.3/v1", "http://proxy:1", "http://proxy:1"), ("http://a.b.example", "http://proxy:1", None),
     ("http://c.example", "proxy:1", "http://proxy:1"), ("https://c.example", "http://proxy:1", None)],
)  # fmt: skip
def test_the_environment_says_which_proxy_is_asked(
    address: str, named: str, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "x, 10.0.0.0/8,fd00::/8, b.example")
    monkeypatch.setenv("http_proxy", named)
    assert proxy_for(address) == asked


@pytest.mark.parametrize("named", ["http://", "http://me:s3cret@127.0.0.1:99999", "me:s3cret@[::1"])
def test_a_proxy_that_is_no_address_is_said_without_its_password(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", named)
    with pytest.raises(ConfigError, match="http_proxy in the environment is no address") as refused:
        proxy_for("http://c.example")
    assert "s3cret" not in str(refused.value)

"""Addresses of servers and their keys, as users type them: looked at before any client stumbles over them."""

from __future__ import annotations

import ipaddress
import os
import re
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from configs.errors import ConfigError, without_credentials

LONGEST = 2000
"""Characters of an address."""


def http_address(text: str, named: str = "base URL", such_as: str = "http://127.0.0.1:8000/v1") -> SplitResult:
    """The parts of an http or https address; host and port are such as a request can be sent to.

    Args:
        text: the address.
        named: what it is called where it was given.
        such_as: one of its kind.

    Raises:
        ConfigError: it is none, or no path can be added to it.
    """
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        usable = parts.scheme in ("http", "https") and bool(re.fullmatch(r"[\w.:%-]+", host)) and parts.port != 0
        host.encode("idna").decode("idna")
        if re.fullmatch(r"[\d.]+", host):
            ipaddress.ip_address(host)
    except ValueError:  # brackets, a port beyond 65535, a part of a name of more than 63 letters, 127.1
        usable = False
    if not usable or len(text) > LONGEST or re.search(r"[\s\\\x00-\x1f\x7f\ud800-\udfff]", text):
        public = without_password(text)
        shown = public if len(public) <= 100 else f"{public[:100]}…"
        raise ConfigError(f"{named} {shown!r} is no http address", f"write it like {such_as}")
    if parts.query or parts.fragment:
        raise ConfigError(
            f"{named} {without_password(text)!r} has something after `?` or `#`",
            "leave it out: paths are added to the URL",
        )
    return parts


def without_password(text: str) -> str:
    """What may be shown of an address, or of what was meant as one.

    All before the last `@` may be a password, and what follows a `?` or `#` a key.
    """
    return re.split(r"[?#]", without_credentials(text).rpartition("@")[2])[0]


def past_proxies(host: str) -> bool:
    """Whether a host is asked past the proxies of the environment, which then see no key, though no library knows it.

    It is this machine's own, or lies in a network that no_proxy names, such as 10.0.0.0/8.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    for network in getproxies().get("no", "").split(","):
        with suppress(ValueError):  # a name
            if address in ipaddress.ip_network(network.strip(), strict=False):
                return True
    return address.is_loopback or address.is_unspecified


def proxy_for(address: str) -> str | None:
    """The proxy that the environment names for an address, if any.

    Raises:
        ConfigError: what it names is no address.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    named = "" if past_proxies(host) or proxy_bypass(host) else getproxies().get(parts.scheme, "")
    if not named:
        return None
    proxy = named if "//" in named else f"http://{named}"
    try:
        usable = bool(urlsplit(proxy).hostname) and urlsplit(proxy).port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"{parts.scheme}_proxy in the environment is no address: {without_password(named)!r}",
            "write it like http://127.0.0.1:7890",
        )
    return proxy


def key_in(variable: str) -> str:
    """The key that an environment variable holds, "" where it is not set.

    Raises:
        ConfigError: no header can hold it; the message does not show it.
    """
    key = os.environ.get(variable, "")
    if not re.fullmatch(r"[\x20-\x7e]*", key):
        raise ConfigError(
            f"the key in {variable} holds a character that no header can, such as a line end",
            f"set it again: export {variable}=...",
        )
    return key

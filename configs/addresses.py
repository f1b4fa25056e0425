"""Addresses of servers and their keys, as users type them: looked at before any client stumbles over them."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import SplitResult, urlsplit

from configs.errors import ConfigError

LONGEST = 2000
"""Characters of an address."""


def http_address(text: str) -> SplitResult:
    """The parts of an http or https address; host and port are such as a request can be sent to.

    Raises:
        ConfigError: it is none.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:  # brackets, a port beyond 65535, a part of a name of more than 63 letters
        usable = False
    if not usable or len(text) > LONGEST or re.search(r"[\s\x00-\x1f\x7f\ud800-\udfff]", text):
        public = text.rpartition("@")[2]  # what stands before it may be a password
        shown = public if len(public) <= 100 else f"{public[:100]}…"
        raise ConfigError(f"base URL {shown!r} is no http address", "write it like http://127.0.0.1:8000/v1")
    return parts


def on_this_machine(host: str) -> bool:
    """Whether a host is this machine's own: a proxy from the environment is for what lies outside, and sees no key."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


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

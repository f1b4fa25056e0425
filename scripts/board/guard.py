"""Who may talk to the board: this machine's user, through the board's own pages.

It listens on loopback only. That alone would let any page in a browser here reach it (DNS rebinding, forms that post to
127.0.0.1) and any other user of the machine, so every request needs more:

- a Host header that names loopback and the board's own port;
- the token of this start, which the printed address hands to the browser once and a cookie keeps (HttpOnly,
  SameSite=Strict);
- for anything but GET, an Origin that is the board's own, and the token once more in a header that no form can set.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs.terminal.messages import translated

TOKEN_HEADER = "x-board-token"
LARGEST_BODY = 2_000_000
"""Bytes of a request."""
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """ASGI middleware that lets through what the module's docstring says."""

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self.app, self.port, self.token = app, port, token
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in known),
                ]
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Any:
        """The response that refuses a request, or hands out the cookie; None where it may pass."""
        headers = Headers(scope=scope)
        if headers.get("host") not in self.hosts:
            return PlainTextResponse(translated("this board answers to 127.0.0.1 and localhost only"), 421, HEADERS)
        if int(headers.get("content-length") or 0) > LARGEST_BODY or "transfer-encoding" in headers:
            return PlainTextResponse(translated("too large", ours=True), 413, HEADERS)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] == "GET" and given and secrets.compare_digest(given.encode(), self.token.encode()):
            handed = RedirectResponse(scope["path"], 303, HEADERS)
            handed.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
            return handed
        if not self._known(headers):
            return PlainTextResponse(translated("open the address that `tuneserve board` printed"), 403, HEADERS)
        if scope["method"] not in ("GET", "HEAD") and not self._own_page(headers):
            return PlainTextResponse(translated("only the board's own pages may do this"), 403, HEADERS)
        return None

    @property
    def cookie(self) -> str:
        """Cookies know no ports: each board has a name of its own."""
        return f"tuneserve_board_{self.port}"

    def _known(self, headers: Headers) -> bool:
        # Not Python's own SimpleCookie, which gives up at the first cookie of another server here that it finds odd.
        kept = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return secrets.compare_digest(kept.encode(), self.token.encode())

    def _own_page(self, headers: Headers) -> bool:
        origin = headers.get("origin", "")
        same = origin.removeprefix("http://") in self.hosts and origin.startswith("http://")
        return same and secrets.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self.token.encode())

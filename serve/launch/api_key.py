"""Asks for the API key where vLLM does not; `--middleware serve.launch.api_key.Gate` loads it into a server with a key.

vLLM's own key guards the routes under `/v1`. Others reach the model too (`/invocations`, `/generative_scoring`,
`/tokenize`) or control the server (`/scale_elastic_ep`). Standard library only.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

OPEN_PATHS = frozenset({"/health", "/ping", "/version"})
"""What a load balancer must reach; they tell nothing but that the server lives, and which vLLM it is."""
OPEN_METHODS = frozenset({"GET", "HEAD"})

REFUSAL = b'{"error": {"message": "an API key is needed", "type": "Unauthorized", "code": 401}}'


class Gate:
    """ASGI middleware: every request needs the key, whatever its path and method, but a look at the open paths."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app
        self.expected = f"Bearer {os.environ['VLLM_API_KEY']}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with 401."""
        if scope["type"] not in ("http", "websocket") or self._may_pass(scope):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        length = str(len(REFUSAL)).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", length),
            (b"www-authenticate", b"Bearer"),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSAL})

    def _may_pass(self, scope: Scope) -> bool:
        method, headers = scope.get("method"), dict(scope["headers"])
        if method in OPEN_METHODS and scope["path"] in OPEN_PATHS:
            return True
        if method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers:
            # What a browser asks before a request from another origin, without a key. vLLM's CORS middleware answers
            # such a request itself; without these headers it would reach the path's own code.
            return True
        return hmac.compare_digest(headers.get(b"authorization", b""), self.expected)

"""An OpenAI-compatible server that answers deterministically and fails on demand.

    python -m eval.ask.mock_server --port 8123 --latency-ms 50

The answer is a function of the last user turn. A turn that holds `[429x2]` gets two 429s before its answer, `[hang]`
never gets one; see `FAULTS`. `GET /asked` returns every user turn in the order of arrival.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
from typing import Any

from aiohttp import web

FAULTS = ("429", "500", "503", "400", "401", "hang", "cut", "drop", "badjson", "badshape", "null", "cutthinking",
          "reasoning", "reasoning_content", "halfchar")  # fmt: skip
_FAULT = re.compile(rf"\[({'|'.join(FAULTS)})(?:x(\d+))?\]")
MODEL = "mock"


def answer_to(prompt: str) -> str:
    """Echo the text after the last colon, except for a third of the prompts, chosen by their hash."""
    last = prompt.rsplit("：", 1)[-1].strip()
    return last if int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 3 else f"{last}？"


def reply_of(content: str | None, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


class MockServer:
    """The application and what it has seen.

    Args:
        latency_ms: time to every answer.
        owned_by: what `/v1/models` says; `vllm` makes clients restrict choices.
        capacity: requests in flight above this get a 429; 0 is without limit.
    """

    def __init__(self, latency_ms: float = 0.0, owned_by: str = "mock", capacity: int = 0) -> None:
        self.latency_ms = latency_ms
        self.owned_by = owned_by
        self.capacity = capacity
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._attempts: dict[str, int] = {}
        self.app = web.Application()
        self.app.router.add_post("/v1/chat/completions", self._chat)
        self.app.router.add_post("/v1/completions", self._completions)
        self.app.router.add_get("/v1/models", self._models)
        self.app.router.add_get("/asked", self._asked)

    @property
    def asked(self) -> list[str]:
        """User turns in the order of arrival."""
        return [body["messages"][-1]["content"] for body in self.bodies]

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "owned_by": self.owned_by}]})

    async def _asked(self, request: web.Request) -> web.Response:
        return web.json_response(self.asked)

    async def _completions(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        ids = [ord(char) for char in body["prompt"]]
        positions = [{str(i): {"logprob": -1.0 / (1 + place)}} for place, i in enumerate(ids)]
        choice = {"text": "", "prompt_token_ids": ids, "prompt_logprobs": [None, *positions[1:]]}
        return web.json_response({"choices": [choice]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, body)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if self.capacity and self.in_flight > self.capacity:
            return web.json_response({"error": "busy"}, status=429, headers={"Retry-After": "0.02"})
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)
        prompt = body["messages"][-1]["content"]
        if fault := _FAULT.search(prompt):
            self._attempts[prompt] = self._attempts.get(prompt, 0) + 1
            if not fault.group(2) or self._attempts[prompt] <= int(fault.group(2)):
                return await self._fail(request, fault.group(1))
        if choice := (body.get("structured_outputs") or {}).get("choice"):
            return web.json_response(self._letter(prompt, choice))
        return web.json_response(reply_of(answer_to(prompt)))

    def _letter(self, prompt: str, letters: list[str]) -> dict[str, Any]:
        best = int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % len(letters)
        top = [{"token": letter, "logprob": -0.1 if i == best else -3.0 - i} for i, letter in enumerate(letters)]
        reply = reply_of(letters[best], "length")
        reply["choices"][0]["logprobs"] = {"content": [{**top[best], "top_logprobs": top}]}
        return reply

    async def _fail(self, request: web.Request, fault: str) -> web.StreamResponse:
        if fault.isdigit():
            return web.json_response({"error": {"message": f"planted {fault}"}}, status=int(fault))
        if fault == "null":
            return web.json_response(reply_of(None))
        if fault == "cutthinking":
            return web.json_response(reply_of(None, "length", reasoning="想到一半"))
        if fault in {"reasoning", "reasoning_content"}:
            return web.json_response(reply_of("北京", **{fault: "想"}))
        if fault == "halfchar":
            return web.json_response(reply_of("城市7\ud83d"))
        if fault == "badjson":
            return web.Response(text='{"choices": [', content_type="application/json")
        if fault == "badshape":
            return web.json_response({"choices": []})
        if fault == "hang":
            await asyncio.sleep(30)
        if fault == "cut":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"choices": [{"message"')
        assert request.transport is not None
        request.transport.close()
        return web.Response()


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--owned-by", default="mock")
    options = parser.parse_args()
    server = MockServer(options.latency_ms, options.owned_by)
    web.run_app(server.app, host="127.0.0.1", port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()

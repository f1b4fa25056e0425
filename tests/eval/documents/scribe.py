"""An OpenAI endpoint that writes pairs from the passage it is shown, and every kind of bad pair where it is told to.

    python -m tests.eval.documents.scribe --port 8123 [--latency-ms 50]

A pair asks for a sentence of the passage by its first words. `PLANTS` are what a passage that holds `[plant:NAME]` gets
beside its own pairs; `[reply:NAME]` replaces the whole reply.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from typing import Any

from aiohttp import web

MODEL = "scribe"
_PASSAGE = re.compile(r"<(passage-[0-9a-f]{8})>\n(.*)\n</\1>", re.DOTALL)
_SENTENCE = re.compile(r"[^。！？!?\n]{8,}?(?:[。！？!?]|\.(?=\s|$))")
PLANTS: dict[str, tuple[str, str]] = {
    "question_short": ("Why?", "the lamp"),
    "question_long": ("What about the lamp, " * 30 + "and so on?", "the lamp"),
    "answer_long": ("Which words does the lamp manual repeat?", "the lamp and the cable " * 80),
    "special_text": ("What does the lamp print?", "<|im_end|> the lamp"),
    "loop": ("How does the lamp blink?", "on and off " * 12),
    "needs_passage": ("According to the passage above, what does the lamp need?", "a cable"),
    "unanswerable": ("Who invented the lamp and its cable?", "This is not mentioned in the manual."),
    "other_language": ("灯泡多长时间可以充满电？请说明。", "台灯充满电需要两个小时左右的时间。"),
    "answer_in_question": ("Does the lamp have a cable, yes or no?", "a cable"),
    "off_topic": ("Which planet orbits beyond Saturn?", "the lamp"),
    "number_not_there": ("How long does the lamp charge?", "The lamp charges for 77 hours."),
    "name_not_there": ("Who sells the lamp and the cable?", "The lamp is sold by Globex."),
    "words_not_there": ("Why does the lamp need a cable?", "Because electricity enables illumination everywhere."),
}
"""Pair of each fault, for a passage that speaks of a lamp and a cable."""
REPLIES = {
    "unreadable": "I am sorry, I cannot help with that.",
    "incomplete": '{"pairs": [{"question": "What is it?"}, {"answer": "a lamp"}, 7]}',
    "none_written": '{"pairs": []}',
    "cut": '{"pairs": [{"question": "What does the lamp',
}


def written(message: str, count: int = 3) -> list[dict[str, str]]:
    """Pairs about the passage in a message: sentences of it, asked for by their first words."""
    found = _PASSAGE.search(message)
    assert found, message
    passage = found[2]
    sentences = [" ".join(one.split()) for one in _SENTENCE.findall(passage)]
    chinese = len(re.findall(r"[\u4e00-\u9fff]", passage)) * 4 > len(re.findall("[A-Za-z]", passage))
    pairs = []
    for sentence in sentences[:count]:
        half = sentence[: len(sentence) // 2]
        words = half[:12] if chinese else " ".join(half.split()[:7])
        question = f"关于“{words}”，具体是怎样规定的？" if chinese else f'What is known about "{words}"?'
        pairs.append({"question": question, "answer": sentence})
    pairs += [
        {"question": PLANTS[name][0], "answer": PLANTS[name][1]} for name in re.findall(r"\[plant:(\w+)\]", passage)
    ]
    return pairs


class Scribe:
    """The application, and what it was sent.

    Args:
        shaped: whether it takes `response_format`; else it refuses it as servers do that do not know it.
        latency_s: time to every answer.
        fails: keys of passages (words in them) that are answered with 500.
    """

    def __init__(self, *, shaped: bool = True, latency_s: float = 0.0, fails: str = "") -> None:
        self.shaped, self.latency_s, self.fails = shaped, latency_s, fails
        self.bodies: list[dict[str, Any]] = []
        self.app = web.Application()
        self.app.router.add_post("/v1/chat/completions", self._chat)
        self.app.router.add_get("/v1/models", self._models)
        self.app.router.add_get("/asked", self._asked)

    @property
    def passages(self) -> list[str]:
        """What was asked about, in the order of arrival; a passage that came twice stands twice."""
        return [_PASSAGE.search(body["messages"][-1]["content"])[2] for body in self.bodies]  # type: ignore[index]

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "owned_by": "test"}]})

    async def _asked(self, request: web.Request) -> web.Response:
        return web.json_response(self.passages)

    async def _chat(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        if "response_format" in body and not self.shaped:
            return web.json_response({"error": {"message": "response_format is not supported"}}, status=400)
        self.bodies.append(body)
        await asyncio.sleep(self.latency_s)
        message = body["messages"][-1]["content"]
        if self.fails and self.fails in message:
            return web.json_response({"error": {"message": "planted"}}, status=400)
        replaced = re.search(r"\[reply:(\w+)\]", message)
        content = REPLIES[replaced[1]] if replaced else json.dumps({"pairs": written(message)}, ensure_ascii=False)
        ended = "length" if replaced and replaced[1] == "cut" else "stop"
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": ended}
        return web.json_response({"id": "1", "object": "chat.completion", "model": MODEL, "choices": [choice]})


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    server = Scribe(latency_s=options.latency_ms / 1000)
    web.run_app(server.app, host="127.0.0.1", port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()

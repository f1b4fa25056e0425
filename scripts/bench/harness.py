"""The evaluation beside lm-evaluation-harness and EvalScope: the same rows at the same server, scores and speeds.

    python -m venv peers && peers/bin/pip install 'lm_eval[api]' evalscope
    python -m scripts.bench.harness --python peers/bin/python --items 3000 --latency-ms 50 --in-flight 64

Every harness runs in a process of its own and is warmed up first. The server is another; it answers after a fixed time,
and what it answers depends on the row's number alone, so that each harness may word a question in its own way. Multiple
choice must come out equal, item by item. Requests per second are counted by the server, from the first request that
arrives to the last answer that leaves; rows per second are over the whole call, from the rows to their scores. Of
several rounds, taken in turns, the fastest of each counts.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from aiohttp import web
from rich.console import Console
from rich.table import Table

from eval.ask.mock_server import MockServer, reply_of
from eval.tasks.builtin import load
from scripts.bench.child import must_run
from scripts.bench.contestants.job import LETTERS, Done, Job, Work, read_done, seen, write_job
from scripts.bench.contestants.lm_eval import TOKENIZER

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OURS = "tuneserve"
PEERS = ("lm_eval", "evalscope")
_NUMBERED: dict[Work, str] = {"choice": "第{}题。", "text": "第{}则。"}
_CHOICE, _TEXT = (re.compile(pattern.format(r"(\d+)")) for pattern in _NUMBERED.values())
_TEXT_LENGTH = 30


@dataclass(frozen=True)
class Round:
    """One harness at one work: what it reports, and what the server saw of it."""

    name: str
    done: Done
    requests: int
    requests_per_s: float

    @property
    def rows_per_s(self) -> float:
        """Rows over the whole call."""
        return len(self.done.scores) / self.done.seconds


def letter_logprobs(number: str) -> dict[str, float]:
    """What the server gives to each letter of a row: negative, distinct, and the same every time."""
    digest = hashlib.sha256(number.encode()).digest()
    return {letter: -(1 + digest[place]) / 64 - place / 1000 for place, letter in enumerate(LETTERS)}


def chat_choice(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a chat request: a text for a text, a letter for a restricted choice, else a sentence with it."""
    prompt = body["messages"][-1]["content"]
    text = _TEXT.search(prompt)
    if text is not None:
        answer = prompt[text.end() : text.end() + _TEXT_LENGTH]
        return {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}
    numbered = _CHOICE.search(prompt)
    assert numbered is not None, prompt
    found = letter_logprobs(numbered.group(1))
    best = max(found, key=lambda letter: found[letter])
    if not body.get("logprobs"):
        return {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"答案：{best}"}}
    top = [{"token": letter, "logprob": value} for letter, value in found.items()]
    return {
        "index": 0,
        "finish_reason": "length",
        "message": {"role": "assistant", "content": best},
        "logprobs": {"content": [{"token": best, "logprob": found[best], "top_logprobs": top}]},
    }


def echo_choice(body: dict[str, Any], count_tokens: Callable[[str], int]) -> dict[str, Any]:
    """The answer to a completion that echoes its prompt, the last character of which is a letter."""
    prompt = body["prompt"][0] if isinstance(body["prompt"], list) else body["prompt"]
    numbered = _CHOICE.search(prompt)
    assert numbered is not None, prompt
    found = letter_logprobs(numbered.group(1))
    tokens = count_tokens(prompt)
    # One position for each token of the prompt, the letter being the last, and one for what is generated.
    logprobs = [None, *[-1.0] * (tokens - 2), found[prompt[-1]], -1.0]
    top = [None, *[{"x": -1.0}] * (tokens - 2), {"x": max(found.values())}, {"x": -1.0}]
    return {"index": 0, "text": prompt, "logprobs": {"token_logprobs": logprobs, "top_logprobs": top}}


class RowServer(MockServer):
    """Answers by a row's number; `GET /seen` gives and forgets what was answered."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(owned_by="vllm")
        from tokenizers import Tokenizer

        self.latency_s = latency_s
        self.tokenizer = Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))
        self.window: list[float] = []
        self.app.middlewares.append(self._timed)
        self.app.router.add_get("/seen", self._seen)

    @web.middleware
    async def _timed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "POST":
            return await handler(request)
        self.window.append(time.perf_counter())
        response = await handler(request)
        self.window.append(time.perf_counter())
        return response

    async def _seen(self, request: web.Request) -> web.Response:
        window, self.window = self.window, []
        seconds = max(window) - min(window) if window else 0.0
        return web.json_response({"requests": len(window) // 2, "seconds": seconds})

    async def _chat(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        await asyncio.sleep(self.latency_s)
        return web.json_response({**reply_of(None), "choices": [chat_choice(body)]})

    async def _completions(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        await asyncio.sleep(self.latency_s)
        choice = echo_choice(body, lambda text: len(self.tokenizer.encode(text, add_special_tokens=False).ids))
        return web.json_response({**reply_of(None), "object": "text_completion", "choices": [choice]})


def serve(port: int, latency_s: float) -> None:
    """The server, until it is killed."""
    web.run_app(RowServer(latency_s).app, host="127.0.0.1", port=port, print=None, access_log=None)


@contextmanager
def serving(latency_s: float) -> Iterator[str]:
    """A running server; gives its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(port, latency_s), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{port}/v1"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/models", timeout=1).close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.join()


def rows(work: Work, count: int) -> list[dict[str, Any]]:
    """The built-in suite's multiple choice or summaries, asked again under other numbers until there are `count`."""
    kind = {"choice": "choice", "text": "summary"}[work]
    suite = [item for task in load("builtin") if task.kind == kind for item in task.items]
    found = []
    for number in range(count):
        item = suite[number % len(suite)]
        head = _NUMBERED[work].format(number + 1)
        row: dict[str, Any] = {"prompt": head + item.messages[-1]["content"], "answer": item.references[0]}
        if work == "choice":
            question = item.messages[-1]["content"]
            row |= {"question": head + question, "choices": list(item.choices.values())}
        else:
            row["source"] = item.source
        found.append(row)
    return found


def compete(name: str, python: str, job: Job) -> Round:
    """Runs one harness in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        job_file, done_file, log = (Path(folder) / file for file in ("job.json", "done.json", "log"))
        write_job(job, job_file)
        files = [str(job_file), str(done_file)]
        must_run(f"scripts.bench.contestants.{name}", files, done_file, python=python, log=log)
        done = read_done(done_file)
    found = seen(job.url)
    return Round(name, done, int(found["requests"]), found["requests"] / found["seconds"])


def fastest(rounds: Sequence[Round], name: str) -> Round:
    """The round of a harness that took least time."""
    return min((one for one in rounds if one.name == name), key=lambda one: one.done.seconds)


def installed(python: str, package: str) -> bool:
    """Whether another Python can import a package."""
    program = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", program], check=False).returncode == 0


def table(job: Job, latency_ms: float, rounds: Sequence[Round]) -> Table:
    """All of one work; the last two columns are ours over theirs."""
    ours = rounds[0]
    most = f"at most {job.in_flight / latency_ms * 1000:.0f}/s"
    shown = Table(title=f"{job.work}: {len(job.rows)} rows, {job.in_flight} in flight, {latency_ms:g} ms each: {most}")
    for heading in ("", "score", "seconds", "requests", "requests/s", "rows/s", "CPU ms/row", "ours: req/s", "rows/s"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for one in rounds:
        done, count = one.done, len(one.done.scores)
        ratios = (
            ("", "")
            if one is ours
            else (f"{ours.requests_per_s / one.requests_per_s:.2f}x", f"{ours.rows_per_s / one.rows_per_s:.2f}x")
        )
        shown.add_row(
            f"{one.name} {done.version}",
            f"{sum(done.scores) / count:.4f} {done.metric}",
            f"{done.seconds:.2f}",
            str(one.requests),
            f"{one.requests_per_s:.0f}",
            f"{one.rows_per_s:.0f}",
            f"{1000 * done.cpu_s / count:.2f}",
            *ratios,
        )
    return shown


def main() -> None:
    """Every work at every level, all harnesses side by side; exit code 1 where a choice is scored differently."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the other harnesses")
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    peers = [peer for peer in PEERS if installed(options.python, peer)]
    for peer in PEERS:
        if peer not in peers:
            console.print(f"{peer} is not installed in {options.python}: not compared")
    differing = 0
    with serving(options.latency_ms / 1000) as url:
        works: Sequence[Work] = get_args(Work)
        for work in works:
            for in_flight in options.in_flight:
                job = Job(work, url, in_flight, rows(work, options.items))
                taken = [
                    compete(name, sys.executable if name == OURS else options.python, job)
                    for _ in range(options.rounds)
                    for name in (OURS, *peers)
                ]
                rounds = [fastest(taken, name) for name in (OURS, *peers)]
                console.print(table(job, options.latency_ms, rounds))
                if work == "choice":
                    pairs = [zip(rounds[0].done.scores, other.done.scores, strict=True) for other in rounds[1:]]
                    differing += sum(a != b for pair in pairs for a, b in pair)
    console.print(f"multiple choice scored differently: {differing}")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()

"""Multiple choice beside lm-evaluation-harness: the same items at the same server, both accuracies, both speeds.

    pip install lm_eval
    python -m scripts.bench_harness --items 600 --latency-ms 50 --in-flight 64

The server is a process of its own that gives each letter of each prompt a fixed log-probability. The harness scores
every letter with a completion that echoes its prompt (its `local-completions`); ours asks once and restricts the answer
to the letters. Both must name the same letter for every item. Requests per second are counted by the server, from the
first request that arrives to the last answer that leaves; items per second are over the whole call.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import multiprocessing
import os
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from rich.console import Console
from rich.table import Table

from eval.endpoint import Endpoint, Settings
from eval.run import evaluate
from eval.tasks.builtin import load
from eval.tasks.task import Item, Task, conversation

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LETTERS = "ABCD"
TOKENIZER = Path(__file__).parents[1] / "configs" / "demo" / "model"


def letter_logprobs(prompt: str) -> dict[str, float]:
    """What the server gives to each letter after a prompt: negative, distinct, and the same every time."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return {letter: -(1 + digest[place]) / 64 - place / 1000 for place, letter in enumerate(LETTERS)}


def serve(port: int, latency_s: float) -> None:
    """The server, until it is killed."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))
    window: list[float] = []

    @web.middleware
    async def timed(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "POST":
            return await handler(request)
        window.append(time.perf_counter())
        response = await handler(request)
        window.append(time.perf_counter())
        return response

    async def seen(_: web.Request) -> web.Response:
        """Requests and seconds since this was last asked."""
        found = {"requests": len(window) // 2, "seconds": max(window) - min(window) if window else 0.0}
        window.clear()
        return web.json_response(found)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "mock", "owned_by": "vllm"}]})

    async def chat(request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        await asyncio.sleep(latency_s)
        found = letter_logprobs(body["messages"][-1]["content"])
        top = [{"token": letter, "logprob": value} for letter, value in found.items()]
        best = max(found, key=lambda letter: found[letter])
        choice = {
            "index": 0,
            "finish_reason": "length",
            "message": {"role": "assistant", "content": best},
            "logprobs": {"content": [{"token": best, "logprob": found[best], "top_logprobs": top}]},
        }
        return web.json_response({"object": "chat.completion", "model": "mock", "choices": [choice]})

    async def completions(request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        await asyncio.sleep(latency_s)
        prompt = body["prompt"][0] if isinstance(body["prompt"], list) else body["prompt"]
        found = letter_logprobs(prompt[:-1])
        tokens = len(tokenizer.encode(prompt, add_special_tokens=False).ids)
        # One position for each token of the prompt, the letter being the last, and one for what is generated.
        logprobs = [None, *[-1.0] * (tokens - 2), found[prompt[-1]], -1.0]
        top = [None, *[{"x": -1.0}] * (tokens - 2), {"x": max(found.values())}, {"x": -1.0}]
        choice = {"index": 0, "text": prompt, "logprobs": {"token_logprobs": logprobs, "top_logprobs": top}}
        return web.json_response({"object": "text_completion", "model": "mock", "choices": [choice]})

    app = web.Application(middlewares=[timed])
    app.router.add_get("/seen", seen)
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_post("/v1/completions", completions)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


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


def rate(url: str) -> tuple[int, float]:
    """Requests that the server answered since this was last asked, and how many a second."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/seen", timeout=5) as reply:
        found = json.loads(reply.read())
    return found["requests"], found["requests"] / found["seconds"] if found["requests"] else 0.0


def items(count: int) -> list[Item]:
    """The built-in suite's multiple choice, asked again under other numbers until there are `count`."""
    suite = [item for task in load("builtin") for item in task.items if len(item.choices) == len(LETTERS)]
    found = []
    for number in range(count):
        item = suite[number % len(suite)]
        prompt = f"第{number + 1}题。{item.messages[-1]['content']}"
        found.append(Item(f"{number:05d}", conversation(prompt), item.references, choices=item.choices))
    return found


def ours(url: str, asked: Sequence[Item], in_flight: int) -> tuple[float, float, list[bool]]:
    """Accuracy, seconds, and which items were right."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        settings = Settings(concurrency=in_flight)
        result = evaluate(Endpoint(url, "mock"), [Task("choice", "choice", asked)], Path(folder), settings=settings)
        seconds = time.perf_counter() - began
    return result["choice"].mean(), seconds, [score == 1.0 for score in result["choice"].scores()]


def harness(url: str, asked: Sequence[Item], in_flight: int) -> tuple[float, float, list[bool]]:
    """The same of lm-evaluation-harness; its start, and what it collects about the machine, are not counted."""
    import lm_eval
    from lm_eval.api.registry import get_model
    from lm_eval.api.task import ConfigurableTask

    model = get_model("local-completions")(
        base_url=f"{url}/completions",
        model="mock",
        tokenizer=str(TOKENIZER),
        tokenizer_backend="huggingface",
        tokenized_requests=False,
        num_concurrent=in_flight,
        max_length=8192,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "items.json"
        rows = [{"prompt": item.messages[-1]["content"], "answer": LETTERS.index(item.references[0])} for item in asked]
        file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
        config: dict[str, Any] = {
            "task": "choice",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": folder},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_choice": list(LETTERS),
            "doc_to_target": "answer",
            "target_delimiter": "",
            "metric_list": [{"metric": "acc"}],
        }
        task = ConfigurableTask(config=config)
        began = time.perf_counter()
        found = lm_eval.evaluate(model, {"choice": task}, bootstrap_iters=0)
        seconds = time.perf_counter() - began
    samples = sorted(found["samples"]["choice"], key=lambda sample: sample["doc_id"])
    return found["results"]["choice"]["acc,none"], seconds, [sample["acc"] == 1.0 for sample in samples]


def main() -> None:
    """Both, side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    console = Console()
    if importlib.util.find_spec("lm_eval") is None:
        console.print("lm-evaluation-harness is not installed: no comparison (pip install lm_eval)")
        return
    # Its progress bars would stand between the two results.
    os.environ["TQDM_DISABLE"] = "1"
    logging.disable(logging.WARNING)
    asked = items(options.items)
    with serving(options.latency_ms / 1000) as url:
        ours(url, asked[:8], options.in_flight)  # pays for imports
        rate(url)
        mine = ours(url, asked, options.in_flight)
        mine_sent = rate(url)
        theirs = harness(url, asked, options.in_flight)
        theirs_sent = rate(url)
    table = Table("", "accuracy", "seconds", "requests", "requests/s", "items/s")
    count = len(asked)
    version = importlib.metadata.version("lm_eval")
    for name, (accuracy, seconds, _), (requests, per_s) in (
        ("tuneserve", mine, mine_sent),
        (f"lm_eval {version}", theirs, theirs_sent),
    ):
        cells = (f"{accuracy:.6f}", f"{seconds:.2f}", str(requests), f"{per_s:.0f}", f"{count / seconds:.0f}")
        table.add_row(name, *cells)
    console.print(table)
    differing = sum(a != b for a, b in zip(mine[2], theirs[2], strict=True))
    console.print(f"items scored differently: {differing}")
    console.print(
        f"times the harness's: {mine_sent[1] / theirs_sent[1]:.2f} requests/s, {theirs[1] / mine[1]:.2f} items/s "
        f"({options.in_flight} in flight, {options.latency_ms:g} ms)"
    )
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()

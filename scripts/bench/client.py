"""How fast the evaluation's client is, and what CPU it costs, against a server that answers after a fixed time.

    python -m scripts.bench.client --latency-ms 50 --in-flight 64 --requests 20000

Prints requests per second and CPU milliseconds per request of: the whole evaluation (prompts, requests, scores, files),
the client alone, the openai SDK, and `wrk` or `oha` where one is on PATH. With N in flight and a latency of T no client
can do more than N / T; take enough requests for start and tail to be small. The server is a process of its
own, twice as fast as `eval.ask.mock_server`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from eval.ask.client import Client
from eval.ask.endpoint import Endpoint, Settings
from eval.ask.evaluate import evaluate
from eval.ask.mock_server import reply_of
from eval.ask.replies import check_chat
from eval.tasks.task import Item, Task, conversation

_OWN_LEVEL = "evaluation, own level"
_REPLY = json.dumps(reply_of("北京")).encode()
_MODELS = json.dumps({"object": "list", "data": [{"id": "mock", "owned_by": "mock"}]}).encode()
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_PASSAGE = "长城是中国古代的军事防御工程，始建于春秋战国时期，今存的长城多为明代所修。" * 8


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class _Mock(asyncio.Protocol):
    """One request at a time on each connection; a POST is answered after `latency_s`, a GET at once."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end]
        length = _LENGTH.search(head)
        size = end + 4 + (int(length.group(1)) if length else 0)
        if len(self._buffer) < size:
            return
        self._buffer = self._buffer[size:]
        if head.startswith(b"GET"):
            self._transport.write(_response(_MODELS))
        else:
            self._loop.call_later(self._latency_s, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():  # a load generator stops in the middle of a request
            self._transport.write(_response(_REPLY))


def _serve(port: int, latency_s: float) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: _Mock(latency_s), "127.0.0.1", port, backlog=1024
        )
        await server.serve_forever()

    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(run())


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _measured(work: Callable[[], Any], requests: int) -> tuple[float, float]:
    """Requests per second and CPU milliseconds per request of this process."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return requests / seconds, 1000 * cpu_s / requests


def bench_evaluate(endpoint: Endpoint, requests: int, in_flight: int) -> tuple[float, float]:
    """Prompts, requests, official scores, one JSON line a sample. `in_flight` 0 lets it find its level."""
    items = [Item(f"{n:06d}", conversation(f"{_PASSAGE}\n问题{n}：首都？"), ["北京"]) for n in range(requests)]
    with tempfile.TemporaryDirectory() as out:
        settings = Settings(concurrency=in_flight)
        return _measured(lambda: evaluate(endpoint, [Task("t", "qa", items)], Path(out), settings=settings), requests)


def bench_client(endpoint: Endpoint, requests: int, in_flight: int) -> tuple[float, float]:
    """Requests and parsed replies only."""
    head = {"model": endpoint.model, "temperature": 0.0}
    bodies = [
        json.dumps({**head, "messages": conversation(f"{_PASSAGE}\n问题{n}：首都？")}, ensure_ascii=False).encode()
        for n in range(requests)
    ]

    async def run() -> None:
        async with Client(endpoint, Settings(concurrency=in_flight)) as client:
            jobs = ((n, body, check_chat) for n, body in enumerate(bodies))
            await client.ask_all("chat/completions", jobs, lambda item, outcome: None)

    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return _measured(lambda: runner.run(run()), requests)


def bench_openai(endpoint: Endpoint, requests: int, in_flight: int) -> tuple[float, float]:
    """The openai SDK with a semaphore."""
    from openai import AsyncOpenAI

    async def run() -> None:
        gate = asyncio.Semaphore(in_flight)
        async with AsyncOpenAI(base_url=endpoint.base_url, api_key="none") as client:

            async def ask(n: int) -> None:
                async with gate:
                    question = f"{_PASSAGE}\n问题{n}：首都？"
                    await client.chat.completions.create(
                        model=endpoint.model, temperature=0.0, messages=[{"role": "user", "content": question}]
                    )

            await asyncio.gather(*(ask(n) for n in range(requests)))

    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return _measured(lambda: runner.run(run()), requests)


def bench_compiled(endpoint: Endpoint, requests: int, in_flight: int) -> tuple[str, float] | None:
    """Requests per second of `wrk` or `oha`, whichever is on PATH; None where neither is."""
    url = f"{endpoint.base_url}/chat/completions"
    body = json.dumps({"model": endpoint.model, "messages": conversation(_PASSAGE)}, ensure_ascii=False)
    if shutil.which("oha"):
        command = ["oha", "-n", str(requests), "-c", str(in_flight), "-m", "POST", "-d", body, "--no-tui", url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return "oha", float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))  # type: ignore[union-attr]
    if shutil.which("wrk"):
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(f'wrk.method = "POST"\nwrk.body = [==[{body}]==]\n')
            script.flush()
            command = ["wrk", "-t1", f"-c{in_flight}", "-d20s", "-s", script.name, url]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return "wrk", float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))  # type: ignore[union-attr]
    return None


def main() -> None:
    """Runs all of them one after the other and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    server = spawn.Process(target=_serve, args=(port, options.latency_ms / 1000), daemon=True)
    server.start()
    endpoint = Endpoint(f"http://127.0.0.1:{port}", "mock")
    ideal = options.in_flight / (options.latency_ms / 1000)
    bench_evaluate(endpoint, 200, options.in_flight)  # waits for the server, and pays for imports
    rows: list[tuple[str, float, float | None]] = []
    compiled = bench_compiled(endpoint, options.requests, options.in_flight)
    if compiled:
        rows.append((compiled[0], compiled[1], None))
    rows.append(("evaluation, whole", *bench_evaluate(endpoint, options.requests, options.in_flight)))
    rows.append((_OWN_LEVEL, *bench_evaluate(endpoint, options.requests, 0)))
    rows.append(("client alone", *bench_client(endpoint, options.requests, options.in_flight)))
    rows.append(("openai SDK", *bench_openai(endpoint, options.requests, options.in_flight)))
    table = Table(
        title=f"{options.requests} requests, {options.in_flight} in flight, {options.latency_ms:g} ms each: "
        f"at most {ideal:.0f}/s; {os.cpu_count()} cores"
    )
    for heading in ("", "requests/s", "of the most", *([f"of {compiled[0]}"] if compiled else []), "CPU ms/request"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, rate, cpu_ms in rows:
        shares = [rate / most for most in (ideal, *([compiled[1]] if compiled else []))]
        shown = ["" if name == _OWN_LEVEL else f"{share:.1%}" for share in shares]
        table.add_row(name, f"{rate:.0f}", *shown, "" if cpu_ms is None else f"{cpu_ms:.3f}")
    Console().print(table)
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()

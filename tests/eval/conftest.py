"""A mock endpoint in a thread of the test process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web

from eval.ask.endpoint import Endpoint
from eval.ask.mock_server import MODEL, MockServer


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(server: MockServer, port: int = 0) -> Iterator[Endpoint]:
    """Runs a mock server in a thread for the time of the block."""
    port = port or free_port()
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=0.1)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{port}", MODEL)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def server() -> MockServer:
    """A mock server that answers at once."""
    return MockServer()


@pytest.fixture
def endpoint(server: MockServer) -> Iterator[Endpoint]:
    """That server's endpoint."""
    with serving(server) as address:
        yield address

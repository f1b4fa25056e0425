"""A headless Chromium for the tests of pages, driven through its debugging protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0", "--lang=en",
)  # fmt: skip


@dataclass
class Tab:
    """One tab."""

    socket: ClientConnection
    logged: list[str] = field(default_factory=list)
    """What went wrong in the page: exceptions, refused requests, errors in the console."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def open(self, url: str, width: int = 1280, height: int = 900) -> None:
        """Loads a page in a window of that size, and waits until it is there."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        answer = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, timeout_s: float = 60) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + timeout_s
        while not self.run(script):
            assert time.monotonic() < end, f"{script} did not become true; the page: {self.text()[:2000]}"
            time.sleep(0.05)

    def text(self) -> str:
        """What a reader sees."""
        return self.run("document.body ? document.body.innerText : ''")

    def picture(self, file: Path, **clip: float) -> None:
        """Saves what is seen as a PNG."""
        options = {"clip": {"x": 0, "y": 0, "scale": 1, **clip}} if clip else {}
        shot = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=bool(clip), **options)
        file.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self._ask("Page.printToPDF", printBackground=False)["data"])

    def for_print(self, on: bool = True) -> None:
        """Shows the page as paper would."""
        self._ask("Emulation.setEmulatedMedia", media="print" if on else "")

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv(timeout=120))
            if said.get("method") == "Runtime.exceptionThrown":
                self.logged.append(str(said["params"]["exceptionDetails"]))
            if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.logged.append(said["params"]["entry"]["text"])
            if said.get("id") == number:
                assert "error" not in said, (method, said)
                return said["result"]


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """A tab of a browser whose profile lies in `folder`; skips the test where there is no Chromium."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    profile = folder / "chromium"
    command = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    (profile / "DevToolsActivePort").unlink(missing_ok=True)
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        note, end = profile / "DevToolsActivePort", time.monotonic() + 120
        while not note.is_file() or len(note.read_text().split()) < 2:
            assert browser.poll() is None, "Chromium did not start"
            assert time.monotonic() < end, "Chromium opened no debugging port"
            time.sleep(0.05)
        port, path = note.read_text().split()
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as whole:
            control = Tab(whole)
            target = control._ask("Target.createTarget", url="about:blank")["targetId"]
            with connect(f"ws://127.0.0.1:{port}/devtools/page/{target}", max_size=None, proxy=None) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log"):
                    tab._ask(f"{domain}.enable")
                yield tab
            control._ask("Browser.close")
        browser.wait(timeout=20)
    finally:
        if browser.poll() is None:
            browser.kill()
            browser.wait()

"""What `docs/clients.md` shows is what happens: each snippet runs against a real server and prints what the page says.

`scripts/setup.sh --dev` installs LangChain and LlamaIndex and, where there is Node, `openai` for it in `.venv/node`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import configs
from configs.recipe.schema import ServeConfig
from serve.launch.command import build_command, installed_device
from serve.launch.target import folder_target
from serve.process.server import VllmServer
from tests.serve.fakes import free_port

REPOSITORY = Path(configs.__file__).parents[1]
PAGE = REPOSITORY / "docs" / "clients.md"
DEMO_MODEL = REPOSITORY / "configs" / "demo" / "model"
SHOWN_ADDRESS = "http://127.0.0.1:8000"
FOREIGN = ("langchain_openai", "llama_index")


@dataclass(frozen=True)
class Snippet:
    """One block of the page."""

    language: str
    """`python`, `js` or `bash`."""
    code: str
    line: int
    """Where it begins in the page."""

    @property
    def name(self) -> str:
        """For the list of tests."""
        return f"{self.language}-line{self.line}"

    @property
    def printed(self) -> list[str]:
        """Lines that it says it prints: comments that begin a line."""
        return re.findall(r"^(?:#|//) (.+)$", self.code, re.MULTILINE)


def snippets() -> list[Snippet]:
    """The blocks that can be run, in the page's order."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```(python|js|bash)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Snippet(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in found]


def test_the_chinese_page_shows_the_same_blocks() -> None:
    def blocks(page: Path) -> list[str]:
        return re.findall(r"^```\w+\n.*?^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    assert blocks(PAGE) == blocks(PAGE.with_name("clients.zh-CN.md"))


START, *REST = snippets()
PYTHON = [s for s in REST if s.language == "python"]


def arguments_for_vllm() -> list[str]:
    """What the page's first command hands to vLLM."""
    words = shlex.split(START.code.replace("\\\n", " "))
    assert words[:3] == ["tuneserve", "serve", "configs/demo/model"]
    return words[words.index("--") + 1 :]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Root URL of the server that the page starts."""
    if installed_device() != "cpu":
        pytest.skip("starts the CPU build of vLLM")
    command = build_command(
        folder_target(DEMO_MODEL, "demo", thinking=False), ServeConfig(port=free_port()), arguments_for_vllm()
    )
    with VllmServer(command, tmp_path_factory.mktemp("clients") / "serve.log", 300) as server:
        yield server.command.root_url


def test_the_page_has_what_it_promises() -> None:
    assert [s.language for s in REST].count("js") == 1
    assert any("curl" in s.code for s in REST)
    for word in ("stream=True", "json_schema", "tool_calls", "enable_thinking", *FOREIGN):
        assert any(word in s.code for s in PYTHON), word


@pytest.mark.parametrize("snippet", PYTHON, ids=lambda s: s.name)
def test_python_compiles(snippet: Snippet) -> None:
    compile(snippet.code, f"{PAGE}:{snippet.line}", "exec")
    assert SHOWN_ADDRESS in snippet.code
    assert snippet.printed, "a snippet that says what it prints can be checked"


@pytest.mark.slow
@pytest.mark.parametrize("snippet", REST, ids=lambda s: s.name)
def test_it_prints_what_the_page_says(snippet: Snippet, address: str, tmp_path: Path) -> None:
    code = snippet.code.replace(SHOWN_ADDRESS, address)
    command, folder = program(snippet, code, tmp_path)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment())
    assert done.returncode == 0, done.stderr
    for line in snippet.printed:
        assert line in done.stdout, f"the page says {line!r}, printed was {done.stdout!r}"


def program(snippet: Snippet, code: str, tmp_path: Path) -> tuple[list[str], Path]:
    """How a snippet is run, and where."""
    if snippet.language == "bash":
        return ["bash", "-euc", code], tmp_path
    if snippet.language == "js":
        return ["node", str(write(node_folder(tmp_path) / "snippet.mjs", code))], tmp_path
    return [sys.executable, str(write(tmp_path / "snippet.py", code))], tmp_path


def node_folder(tmp_path: Path) -> Path:
    """A folder from which Node finds the package `openai`."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    modules = Path(sys.prefix) / "node" / "node_modules"
    if not (modules / "openai").is_dir():
        pytest.skip(f"no package openai in {modules}, where scripts/setup.sh --dev puts it if npm reaches a registry")
    (tmp_path / "node_modules").symlink_to(modules)
    return tmp_path


def write(file: Path, text: str) -> Path:
    """Writes a file and returns it."""
    file.write_text(text, encoding="utf-8")
    return file


def environment() -> dict[str, str]:
    """The caller's environment without a way around the address that the snippet names."""
    hidden = ("OPENAI_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}

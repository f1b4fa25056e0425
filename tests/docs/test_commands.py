"""Every `tuneserve` command in the READMEs and the docs is one that the command line takes, keys included."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from configs.recipe.keys import keys_of
from configs.recipe.schema import RunConfig
from scripts.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
GLOBAL = {"--json", "--quiet", "--verbose", "--debug", "--lang", "--help", "-h", "--version", "--install-completion"}
KEYS = {key.name.split(".*")[0] for key in keys_of(RunConfig)}


def commands(page: Path) -> list[str]:
    """Lines of shell blocks that call tuneserve, continuation lines joined."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = re.sub(r"\\\n\s*", " ", "\n".join(blocks)).splitlines()
    found = (re.search(r"(?:^|\s|/)tuneserve (?=[a-z-])(.*)$", line) for line in lines)
    return [match[1] for match in found if match and "docker" not in match.string and "git clone" not in match.string]


CASES = [(page.name, line) for page in PAGES for line in commands(page)]


@cache
def command_line() -> Any:
    """Every command with its options, made once."""
    return get_command(app)


@pytest.mark.parametrize(("page", "line"), CASES, ids=[f"{page}: {line[:60]}" for page, line in CASES])
def test_a_command_in_the_docs_is_one(page: str, line: str) -> None:
    words = shlex.split(re.split(r"\s[|&;>]|\)$|；|（", line)[0], comments=True)
    command = command_line()
    while words and words[0].startswith("--"):
        assert words.pop(0) in GLOBAL
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        pytest.fail(f"no command {words[0]!r}")
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word == "--":
            break  # vLLM's own
        if word.startswith("-") and not re.fullmatch(r"-\d.*", word):
            assert word.partition("=")[0] in options | GLOBAL, f"{page}: {word}"
        key = word.partition("=")[0]
        if re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)+", key) and "=" in word and "/" not in key:
            named = re.sub(r"\.\d+.*", "", key)
            assert named in KEYS, f"{page}: {key}"


def test_there_are_many() -> None:
    assert len(CASES) > 60

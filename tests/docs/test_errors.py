"""The page of errors quotes what the code says, in both languages alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.messages import translations

ROOT = Path(__file__).parents[2]
ROOMS = ("configs", "trainer", "serve", "eval", "scripts")
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows(page: str) -> list[str]:
    return [message for message, _, _ in ROW.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def sources() -> str:
    """All that the program says, strings that stand next to each other joined."""
    files = [file for room in ROOMS for end in ("*.py", "*.sh") for file in (ROOT / room).rglob(end)]
    return re.sub(r'"\s*\n\s*f?"', "", "".join(file.read_text(encoding="utf-8") for file in files))


@pytest.mark.parametrize("message", rows("errors.md"))
def test_each_message_is_one_that_the_program_prints(message: str, sources: str) -> None:
    assert message in sources


def test_the_chinese_page_quotes_what_is_said_in_chinese() -> None:
    english, chinese = rows("errors.md"), rows("errors.zh-CN.md")
    assert len(english) == len(chinese) > 20
    said = [pair for pairs in translations().values() for pair in pairs]
    set_up = "".join((ROOT / "scripts" / name).read_text(encoding="utf-8") for name in ("setup.sh", "install.py"))
    for en, zh in zip(english, chinese, strict=True):
        assert any(en in each and zh in translated for each, translated in said) or (en == zh and en in set_up), en

"""The reference is what schema and command line say now."""

from __future__ import annotations

import re
from typing import Literal

import pytest

from scripts.bench.reference import PAGES, page

WRITE = "out of date: python -m scripts.bench.reference --write"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_current(language: Literal["en", "zh"]) -> None:
    assert PAGES[language].read_text(encoding="utf-8") == page(language), WRITE


def test_the_chinese_page_is_chinese() -> None:
    """Every key, option and recipe has its meaning in Chinese."""
    rows = [line for line in page("zh").splitlines() if line.startswith("| `")]
    # But a card's figures, and options without a help text.
    rows = [row for row in rows if not re.match(r"\| `[a-z0-9-]+` \| [\d.]+ \||\| `[^`]*` \|  \|", row)]
    assert len(rows) > 150
    assert [row for row in rows if not re.search(r"[\u3001-\u9fff]", row)] == []

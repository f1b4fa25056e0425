"""The reference is what schema and command line say now."""

from __future__ import annotations

from typing import Literal

import pytest
import yaml
from typer.main import get_command

from configs.schema import RunConfig
from scripts.bench.reference import DOCS, PAGES, owners, page, words
from scripts.cli import app

WRITE = "out of date: python -m scripts.bench.reference --write"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_current(language: Literal["en", "zh"]) -> None:
    assert PAGES[language].read_text(encoding="utf-8") == page(language), WRITE


def test_every_key_and_command_has_its_meaning_in_chinese() -> None:
    chinese = yaml.safe_load((DOCS / "keys.zh-CN.yaml").read_text(encoding="utf-8"))
    assert set(chinese) == set(owners(RunConfig)), "add its meaning to docs/keys.zh-CN.yaml, then " + WRITE
    assert set(words()["commands"]) >= set(get_command(app).commands)  # type: ignore[attr-defined]

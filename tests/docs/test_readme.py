"""The first page: its recipe needs no file that nobody has, its picture is small, both languages say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from configs.recipe.load import load_config
from tests.scripts.conftest import ROOT

LANGUAGES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh-CN.md"}
PICTURE_BYTES = 150_000


def text_of(language: str) -> str:
    return LANGUAGES[language].read_text(encoding="utf-8")


def table_figures(text: str) -> list[list[str]]:
    """The numbers of every row of every table; a sentence of one language may name them in another order."""
    return [sorted(re.findall(r"\d+(?:[.,]\d+)*", line)) for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_recipe_names_no_file_but_the_readers_rows(language: str, tmp_path: Path) -> None:
    (recipe,) = re.findall(r"```yaml\n(.*?)```", text_of(language), re.DOTALL)
    (tmp_path / "shop.yaml").write_text(recipe, encoding="utf-8")
    config = load_config(tmp_path / "shop.yaml", [])
    assert [Path(source.path).name.partition("#")[0] for source in config.data.sources] == ["support.jsonl"]
    assert config.replays_itself
    assert all(task.path is None for task in config.eval.tasks)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_picture_is_there_and_small(language: str) -> None:
    (picture,) = re.findall(r'<img src="([^"]+)"', text_of(language))
    assert 0 < (ROOT / picture).stat().st_size < PICTURE_BYTES


def test_both_languages_have_the_same_parts_and_figures() -> None:
    english, chinese = text_of("en"), text_of("zh")
    assert english.count("\n## ") == chinese.count("\n## ")
    assert re.findall(r"^```\w*", english, re.MULTILINE) == re.findall(r"^```\w*", chinese, re.MULTILINE)
    assert table_figures(english) == table_figures(chinese)

"""What `docs/results.md` tells the reader to run exists, and its commands are accepted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from configs.recipe.load import load_config
from scripts.bench.results_data import SHORT_CHARACTERS, WANTED
from tests.scripts.conftest import ROOT

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
RUNS = re.findall(r"tuneserve run (\S+\.yaml)([^\n#`|]*)", PAGE)


@pytest.mark.parametrize("recipe", sorted((ROOT / "configs" / "results").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_recipe_is_on_the_page(recipe: Path) -> None:
    assert f"](../{recipe.relative_to(ROOT)})" in PAGE


@pytest.mark.parametrize(("recipe", "rest"), RUNS)
def test_the_commands_are_accepted(recipe: str, rest: str) -> None:
    overrides = [word for word in shlex.split(rest) if not word.startswith("--")]
    config = load_config(ROOT / recipe, overrides)
    assert config.eval.tasks


def test_the_page_names_every_data_set() -> None:
    named = PAGE.replace("`", "")
    assert [what for _, what, _ in WANTED if what.split(", ")[1] not in named] == []
    cpu = (ROOT / "configs" / "results" / "cmrc-cpu.yaml").read_text(encoding="utf-8")
    assert f"at most {SHORT_CHARACTERS} characters" in cpu

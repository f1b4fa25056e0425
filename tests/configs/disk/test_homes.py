"""Homes that are there, and homes that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.cache.folder import cache_root
from configs.disk.homes import expanded, home
from configs.errors import ConfigError
from configs.recipe.load import load_config
from serve.state.folders import state_folder


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose user is in no list of users."""
    for name in ("HOME", "TUNESERVE_CACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])


def test_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/some/where")
    assert (home(), expanded("~/x"), expanded("x")) == (Path("/some/where"), Path("/some/where/x"), Path("x"))


@pytest.mark.usefixtures("nobody")
def test_without_a_home_the_next_step_is_said() -> None:
    for place in (home, cache_root, lambda: state_folder({})):
        with pytest.raises(ConfigError, match=r"HOME is not set, and uid \d+ is no user of this machine\n.*set HOME"):
            place()
    with pytest.raises(ConfigError, match=r"~/rows.jsonl: no home folder is known for ~\n"):
        expanded("~/rows.jsonl")


@pytest.mark.parametrize("key", ["model", "data.sources", "data.heldout", "train.continue_from", "output_dir"])
def test_a_home_of_nobody_in_a_recipe_is_one_sentence(key: str, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: a\nmodel: m\ndata: rows.jsonl\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no home folder is known for ~nobody-has-this"):
        load_config(recipe, [f"{key}=~nobody-has-this/x"])

"""The recipes that come with the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from configs.recipe.load import load_config
from configs.recipe.recipes import FOLDER, comments, in_the_users_language, recipes, standing_alone
from configs.terminal.language import LANG


def test_all_are_listed_and_the_demo_comes_first() -> None:
    assert set(recipes()) == {file.stem for file in FOLDER.glob("*.yaml")}
    assert next(iter(recipes())) == "demo"


@pytest.mark.parametrize("name", list(recipes()))
def test_each_means_the_same_in_any_other_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "客服 数据"
    folder.mkdir()
    (folder / "train.jsonl").touch()
    monkeypatch.chdir(folder)
    file = folder / "mine.yaml"
    file.write_text(standing_alone(recipes()[name]), encoding="utf-8")
    assert load_config(file) == load_config(recipes()[name])
    named = load_config(file)
    for source in [*named.data.sources, *([named.data.replay.source] if named.data.replay else [])]:
        if source.path.startswith(str(FOLDER)):
            assert Path(source.path.partition("#")[0]).exists()


def test_a_path_with_a_space_or_chinese_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "我的 数据: 一"
    (folder / "demo").mkdir(parents=True)
    (folder / "demo" / "rows.jsonl").touch()
    recipe = folder / "r.yaml"
    recipe.write_text(
        "# r\nname: demo\nmodel: demo/none\ndata: {sources: [demo/rows.jsonl#5]}  # kept\n", encoding="utf-8"
    )
    text = standing_alone(recipe)
    assert "# kept" in text
    assert "name: demo\nmodel: demo/none" in text
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    assert load_config(tmp_path / "r.yaml").data.sources[0].path == f"{folder / 'demo' / 'rows.jsonl'}#5"


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_is_commented_in_the_users_language(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = recipes()[name].read_text(encoding="utf-8")
    assert in_the_users_language(text) == text
    monkeypatch.setenv(LANG, "zh")
    chinese = in_the_users_language(text)
    assert yaml.safe_load(chinese) == yaml.safe_load(text)
    said = [line for line in comments(chinese) if not re.match(r"(- )?\{|\w+: \{", line.removeprefix("- "))]
    assert [line for line in said if not re.search(r"[\u3400-\u9fff]", line)] == []

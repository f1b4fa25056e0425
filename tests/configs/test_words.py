"""The user is spoken to in their language; what is said has a text in each, and every text is said somewhere."""

import ast
import re
import string
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.words import LANGUAGES, Words, table

ROOT = Path(__file__).parents[2]
ROOMS = ("configs", "trainer", "serve", "eval", "scripts")
IN_TEMPLATES = re.compile(r"""say\((["'])([\w.]+)\1(\s*~)?""")


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_TW", "LANG": "en_US"}, "zh"),
        ({}, "en"),
    ],
)
def test_language_follows_the_locale_unless_told(environ, language, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, environ.get(name, ""))
    assert Words.chosen(None).language == language
    assert [Words.chosen(name).language for name in ("zh", "en")] == ["zh", "en"]


def test_a_language_without_texts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--lang fr: no such language\n.*one of: en, zh"):
        Words.chosen("fr")


def said() -> tuple[set[str], set[str], set[str]]:
    """What the sources say: keys handed to `say` and `Sentence`, patterns of keys put together, and all strings."""
    keys, patterns, strings = set(), set(), set()
    for file in (file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        # Other things speak as well, such as set-up; theirs are no keys.
        speakers = {"Sentence", "words.say", "self.words.say", "self.say"} | ({"say"} if "words.say" in text else set())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                parts = [re.escape(part.value) if isinstance(part, ast.Constant) else r"[\w.]+" for part in node.values]
                if re.fullmatch(r"[a-z_]+\\\..*", "".join(parts)):
                    patterns.add("".join(parts))
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                keys |= {node.args[0].value} if ast.unparse(node.func) in speakers else set()
    for file in (file for room in ROOMS for file in (ROOT / room).rglob("*.j2")):
        for _, key, more in IN_TEMPLATES.findall(file.read_text(encoding="utf-8")):
            _ = patterns.add(re.escape(key) + r"[\w.]+") if more else keys.add(key)
    return keys, patterns, strings


def test_every_text_is_said_and_all_that_is_said_has_a_text() -> None:
    keys, patterns, strings = said()
    assert len(keys) > 40
    assert keys - set(table()) == set()
    known = keys | strings
    assert [key for key in table() if key not in known and not any(re.fullmatch(p, key) for p in patterns)] == []


def test_every_text_is_in_both_languages_with_the_same_values() -> None:
    def names(template: str) -> set[str]:
        found = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        # The unit belongs to the English plural; Chinese has none.
        return {{"margin_points": "margin", "gated": "tasks"}.get(name, name) for name in found}

    for key, texts in table().items():
        assert set(texts) == set(LANGUAGES), key
        assert all(texts.values()), key
        assert names(texts["en"]) == names(texts["zh"]), key
        assert re.search(r"[\u4e00-\u9fff]", texts["zh"]), key


def test_a_text_or_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError, match="no such text"):
        Words().say("no such text")
    with pytest.raises(KeyError, match="tuned"):
        Words("zh").say("versus", base="b")
    assert Words("zh").say("versus", base="b", tuned="t") == "t 对比 b"


def test_no_key_stands_twice() -> None:
    files = (ROOT / "configs" / "texts").glob("*.yaml")
    keys = [key for file in files for key in re.findall(r"^(\S+):$", file.read_text(encoding="utf-8"), re.MULTILINE)]
    assert len(keys) == len(table())

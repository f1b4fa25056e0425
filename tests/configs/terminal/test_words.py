"""What reports and pages say has a text in each language, and every text is said somewhere."""

import ast
import re
import string
from pathlib import Path

import pytest

from configs.terminal.language import LANGUAGES
from configs.terminal.words import Words, table

ROOT = Path(__file__).parents[3]
ROOMS = ("configs", "trainer", "serve", "eval", "scripts")
IN_TEMPLATES = re.compile(r"""say\((["'])([\w.]+)\1(\s*~)?""")


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

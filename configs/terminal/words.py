"""What reports and pages say, in English and in Chinese: one table, one lookup.

The table is `configs/texts/*.yaml`: under each key a text in each language, with the names of values in braces. To say
something new, write it there and call `words.say("its.key", name=value)` where it is said. The tests find keys without
a text, texts that nobody says, and languages whose values differ. What the terminal says besides is in
`configs/terminal/messages.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Self

import yaml

from configs.disk.yaml_text import OWN_FILES
from configs.terminal.language import Language, language


@cache
def table() -> Mapping[str, Mapping[Language, str]]:
    """Every text, by key and language."""
    found: dict[str, Mapping[Language, str]] = {}
    for file in sorted(files("configs").joinpath("texts").iterdir(), key=lambda file: file.name):
        if file.is_file():
            found |= yaml.load(file.read_text(encoding="utf-8"), OWN_FILES)
    return found


class Words:
    """The texts of one language."""

    def __init__(self, language: Language = "en") -> None:
        self.language: Language = language

    @classmethod
    def chosen(cls) -> Self:
        """In the language of this process: `--lang`, `TUNESERVE_LANG`, or the locale."""
        return cls(language())

    def __contains__(self, key: str) -> bool:
        return key in table()

    def say(self, key: str, **values: Any) -> str:
        """The text under this key with its values written in.

        Raises:
            KeyError: there is no such key, or a value of its is missing.
        """
        return table()[key][self.language].format(**values)

    def labelled(self, label: str, value: object) -> str:
        """What is said of something, behind its name and the colon of the language."""
        return f"{label}：{value}" if self.language == "zh" else f"{label}: {value}"

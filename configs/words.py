"""What the product says to its user, in English and in Chinese: one table, one lookup.

The table is `configs/texts/*.yaml`: under each key a text in each language, with the names of values in braces. To say
something new, write it there and call `words.say("its.key", name=value)` where it is said. The tests find keys without
a text, texts that nobody says, and languages whose values differ.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Self, get_args

import yaml

from configs.errors import ConfigError

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@cache
def table() -> Mapping[str, Mapping[Language, str]]:
    """Every text, by key and language."""
    found: dict[str, Mapping[Language, str]] = {}
    for file in sorted(files("configs").joinpath("texts").iterdir(), key=lambda file: file.name):
        found |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


class Words:
    """The texts of one language."""

    def __init__(self, language: Language = "en") -> None:
        self.language: Language = language

    @classmethod
    def chosen(cls, wanted: str | None) -> Self:
        """In the language that `--lang` names, else in the locale's.

        Raises:
            ConfigError: there are no texts in that language.
        """
        if wanted is None:
            locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
            return cls("zh" if locale.lower().startswith("zh") else "en")
        for language in LANGUAGES:
            if wanted == language:
                return cls(language)
        raise ConfigError(f"--lang {wanted}: no such language", f"one of: {', '.join(LANGUAGES)}")

    def __contains__(self, key: str) -> bool:
        return key in table()

    def say(self, key: str, **values: Any) -> str:
        """The text under this key with its values written in.

        Raises:
            KeyError: there is no such key, or a value of its is missing.
        """
        return table()[key][self.language].format(**values)

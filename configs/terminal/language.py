"""Which language the user is spoken to in: `--lang`, then `TUNESERVE_LANG`, then the locale."""

from __future__ import annotations

import os
from typing import Literal, get_args

from configs.errors import ConfigError

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

LANG = "TUNESERVE_LANG"
"""Environment variable with the language that was asked for; children inherit it."""


def language() -> Language:
    """The language of this process: what `--lang` or `TUNESERVE_LANG` names, else the locale's, else English."""
    wanted = os.environ.get(LANG) or next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "zh" if wanted.lower().startswith("zh") else "en"


def choose(wanted: str, said_by: str) -> None:
    """Makes a language that of this process and of its children.

    Args:
        wanted: what was asked for.
        said_by: the option or variable that asked, up to the value, for the error.

    Raises:
        ConfigError: there are no texts in that language.
    """
    if wanted not in LANGUAGES:
        raise ConfigError(f"{said_by}{wanted}: no such language", f"one of: {', '.join(LANGUAGES)}")
    os.environ[LANG] = wanted

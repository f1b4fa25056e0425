"""The language of reports: the user's own, unless told otherwise."""

from __future__ import annotations

import os
from typing import get_args

from configs.errors import ConfigError
from eval.report.strings import Language


def report_language(wanted: str | None) -> Language:
    """`en` or `zh`: what `--lang` says, else what the locale says.

    Raises:
        ConfigError: there are no texts in that language.
    """
    if wanted is None:
        locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
        return "zh" if locale.lower().startswith("zh") else "en"
    for language in get_args(Language):
        if wanted == language:
            return language
    raise ConfigError(f"--lang {wanted}: no such language", f"one of: {', '.join(get_args(Language))}")

"""Environment variables that a library cannot read: most are read while it is imported, and end that in a traceback."""

from __future__ import annotations

import linecache
import os
import re
import traceback

from configs.errors import ConfigError

_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
_LARGE = re.compile(r"\s*-?[0-9_]{12,}\s*")


def misread_variable(error: ValueError | OverflowError) -> ConfigError | None:
    """What to say of an error that comes of an environment variable's value; None where it comes of something else.

    The variable stands on a line that the error went through, and its value in what the error says. A number that is
    too large is read on one line and fails on another of the same file, and the error does not say it.
    """
    said = str(error)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        overflow = isinstance(error, OverflowError)
        text = "".join(linecache.getlines(frame.filename)) if overflow else frame.line or ""
        for name in dict.fromkeys(_NAME.findall(text)):
            value = os.environ.get(name)
            if value is None or not (_LARGE.fullmatch(value) if overflow else repr(value) in said):
                continue
            return ConfigError(
                f"the environment variable {name} is {value!r}, which a library cannot read: {said}",
                f"unset {name}, or give it a value that it can have",
            )
    return None

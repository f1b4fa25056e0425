"""Environment variables that a library cannot read: most are read while it is imported, and end that in a traceback."""

from __future__ import annotations

import os
import re
import traceback

from configs.errors import ConfigError

_NAME = re.compile(r"[A-Z][A-Z0-9_]+")


def misread_variable(error: ValueError) -> ConfigError | None:
    """What to say of an error that comes of an environment variable's value; None where it comes of something else.

    The variable stands on a line that the error went through, and its value in what the error says.
    """
    said = str(error)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for name in _NAME.findall(frame.line or ""):
            value = os.environ.get(name)
            if value is not None and repr(value) in said:
                return ConfigError(
                    f"the environment variable {name} is {value!r}, which a library cannot read: {said}",
                    f"unset {name}, or give it a value that it can have",
                )
    return None

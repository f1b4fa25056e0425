"""Whether the user asked for tracebacks, here or in the command that started this one."""

from __future__ import annotations

import os
import sys


def debugging() -> bool:
    """Whether `--debug` was given."""
    return os.environ.get("TUNESERVE_DEBUG") == "1" or "--debug" in sys.argv

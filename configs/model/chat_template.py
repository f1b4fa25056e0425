"""A chat template is a program of the model's author: it runs within limits, whatever it does.

The sandbox of Jinja keeps a template from files and from Python, not from loops in loops or strings without end. Here
it gets processor time and memory that no template of a chat needs, and an error that says which of them ran out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from configs.errors import ConfigError
from configs.process.limits import OutOfTime, apart, limits

Look = TypeVar("Look")

SECONDS = 10.0
"""Processor time of one rendering; a long conversation takes milliseconds."""
BYTES = 1 << 30
LONGEST = 50_000_000
"""Characters of one rendering."""


class TemplateFailed(Exception):
    """The template refused what it was given, or failed; says why."""


class TemplateTooCostly(ConfigError):
    """The template ran out of time or memory: it would do so for every row and every request."""


def rendered(render: Callable[[], Any], where: str | Path) -> str:
    """What a template renders.

    C code that hears no signal, such as a comparison of lists in lists, ends the process: see `looked_at`.

    Args:
        render: renders it.
        where: the model, for the message.

    Raises:
        TemplateFailed: the template raised an error of whatever kind, or rendered no text.
        TemplateTooCostly: it took too long, or too much memory.
    """
    try:
        text = limits.run(render, SECONDS, BYTES)
    except (OutOfTime, MemoryError) as error:
        raise _too_costly(where, error) from error
    # A template can divide by zero, recurse, overflow, call what is no function: any error is one of its own.
    except Exception as error:
        raise TemplateFailed(f"{type(error).__name__}: {str(error)[:300]}") from error
    if not isinstance(text, str):
        raise TemplateFailed(f"rendered {type(text).__name__}, no text")
    if len(text) > LONGEST:
        raise TemplateTooCostly(
            f"{where}: the chat template rendered {len(text):,} characters", "take another template"
        )
    return text


def looked_at(look: Callable[[], Look], where: str | Path) -> Look:
    """What a look at a template gives, which renders some conversations in a process of its own.

    Raises:
        TemplateTooCostly: that process was ended.
        Exception: what `look` raised.
    """
    try:
        return apart(look, SECONDS, BYTES)
    except (OutOfTime, MemoryError) as error:
        raise _too_costly(where, error) from error


def _too_costly(where: str | Path, error: BaseException) -> TemplateTooCostly:
    spent = f"{SECONDS:g} s of processor time" if isinstance(error, OutOfTime) else f"{BYTES >> 30} GiB of memory"
    return TemplateTooCostly(
        f"{where}: the chat template used {spent} and was stopped",
        "take the template of the model's own publisher; this one loops, or builds a text without end",
    )

"""A chat template is a program of the model's author: it runs within limits, whatever it does.

The sandbox of Jinja keeps a template from files and from Python, not from loops in loops or strings without end. Here
it gets processor time and memory that no template of a chat needs, and an error that says which of them ran out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.limits import OutOfTime, limits

SECONDS = 10.0
"""Processor time of one rendering; a long conversation takes milliseconds."""
BYTES = 1 << 30
LONGEST = 50_000_000
"""Characters of one rendering."""


class TemplateFailed(Exception):
    """The template refused what it was given, or failed; says why."""


class TemplateTooCostly(ConfigError):
    """The template ran out of time or memory: it would do so for every row and every request."""


def rendered(render: Callable[[], Any], where: str | Path, run: Callable[..., Any] = limits.run) -> str:
    """What a template renders.

    Args:
        render: renders it.
        where: the model, for the message.
        run: `apart` for a look at a template, which ends one that compares or hashes lists in lists, too: C code that
            hears no signal. For each of very many rows a process is too much; one that such code holds is killed.

    Raises:
        TemplateFailed: the template raised an error of whatever kind, or rendered no text.
        TemplateTooCostly: it took too long, or too much memory.
    """
    try:
        text = run(lambda: _text(render), SECONDS, BYTES)
    except (OutOfTime, MemoryError, SystemError) as error:
        spent = f"{SECONDS:g} s of processor time" if isinstance(error, OutOfTime) else f"{BYTES >> 30} GiB of memory"
        raise TemplateTooCostly(
            f"{where}: the chat template used {spent} and was stopped",
            "take the template of the model's own publisher; this one loops, or builds a text without end",
        ) from error
    if len(text) > LONGEST:
        raise TemplateTooCostly(
            f"{where}: the chat template rendered {len(text):,} characters", "take another template"
        )
    return text


def _text(render: Callable[[], Any]) -> str:
    try:
        text = render()
    except (MemoryError, SystemError):
        raise
    # A template can divide by zero, recurse, overflow, call what is no function: any error is one of its own.
    except Exception as error:
        raise TemplateFailed(f"{type(error).__name__}: {str(error)[:300]}") from error
    if not isinstance(text, str):
        raise TemplateFailed(f"rendered {type(text).__name__}, no text")
    return text

"""A chat template is a program of the model's author: it runs within limits, whatever it does.

The sandbox of Jinja keeps a template from files and from Python, not from loops in loops or strings without end. Here
it gets processor time and memory that no template of a chat needs, and an error that says which of them ran out.
"""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from configs.errors import ConfigError

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

    Args:
        render: renders it.
        where: the model, for the message.

    Raises:
        TemplateFailed: the template raised an error of whatever kind, or rendered no text.
        TemplateTooCostly: it took too long, or too much memory.
    """
    try:
        try:
            with _limits:
                text = render()
        except MemoryError:
            _limits.measure_anew()
            with _limits:
                text = render()
    except (_OutOfTime, MemoryError) as error:
        spent = f"{SECONDS:g} s of processor time" if isinstance(error, _OutOfTime) else f"{BYTES >> 30} GiB of memory"
        raise TemplateTooCostly(
            f"{where}: the chat template used {spent} and was stopped",
            "take the template of the model's own publisher; this one loops, or builds a text without end",
        ) from error
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


class _OutOfTime(BaseException):
    """No Exception, so that nothing between the signal and `rendered` takes it for one of its own."""


# A teaching set is rendered two hundred thousand times, and what a rendering adds must stay small: the handler of the
# signal is set once, and the memory in use is measured every so many renderings.
_MEASURED_EVERY = 64


class _Limits:
    """Processor time and memory of a rendering, as a context. The time is that of the main thread, the memory the
    process's: renderings in several threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rendering = self._renderings = 0
        self._allowed = (0, 0)
        self._before: tuple[int, int] | None = None
        self._timed = self._handled = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._rendering:
                self._limit_memory()
            self._rendering += 1
        if _is_main_thread():
            if not self._handled:
                signal.signal(signal.SIGVTALRM, self._stop)
                self._handled = True
            self._timed = True
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)

    def __exit__(self, *_: object) -> None:
        if _is_main_thread():
            self._timed = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        with self._lock:
            self._rendering -= 1
            if not self._rendering and self._before:
                resource.setrlimit(resource.RLIMIT_AS, self._before)
                self._before = None

    def measure_anew(self) -> None:
        """The process may have grown by much since its memory was measured."""
        self._renderings = 0

    def _limit_memory(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if self._renderings % _MEASURED_EVERY == 0:
            with open("/proc/self/statm", "rb") as statm:
                used = int(statm.read().split()[0]) * resource.getpagesize()
            self._allowed = (used + BYTES, hard)
        self._renderings += 1
        if soft == resource.RLIM_INFINITY or soft >= self._allowed[0]:
            resource.setrlimit(resource.RLIMIT_AS, self._allowed)
            self._before = (soft, hard)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        # It can come when the rendering has just ended.
        if self._timed:
            raise _OutOfTime


def _is_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


_limits = _Limits()

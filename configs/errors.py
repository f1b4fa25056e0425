"""Errors that a user can act on, and the exit codes of the command line.

Every error of the project that a user may meet is a `TuneserveError`: one sentence that says what was wrong, where, and
the value seen, then the next step. The command line prints both and exits with `exit_code`; a traceback only with
`--debug`.
"""

from __future__ import annotations

import re

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_GATE_FAILED = 3
EXIT_NOT_ENOUGH_EVIDENCE = 4
EXIT_ENDPOINT_ERRORS = 5
EXIT_INTERRUPTED = 130


_CREDENTIALS = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*://|https?:/)[^\s/?#'\"]*@")
"""User and password run to the last `@` before the path. An address that was taken for a file's path has one slash."""


class TuneserveError(Exception):
    """Something went wrong that the user can put right.

    Args:
        message: what was wrong, where (file, line, key, row), and the value seen.
        next_step: what to do now, as a sentence or a command; shown on a line of its own.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, next_step: str = "") -> None:
        message = without_credentials(message)
        super().__init__(message)
        self.message = message
        self.next_step = without_credentials(next_step)

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.next_step}" if self.next_step else self.message


class ConfigError(TuneserveError):
    """The configuration, an override, or the way a command was called is wrong."""

    exit_code = EXIT_USAGE


class DataError(TuneserveError):
    """The user's data cannot be used as it is."""

    exit_code = EXIT_USAGE


class EndpointError(TuneserveError):
    """A model endpoint failed too often to be scored."""

    exit_code = EXIT_ENDPOINT_ERRORS


def without_credentials(text: str) -> str:
    """The text with user and password cut out of every address: `http://user:pass@host` becomes `http://host`."""
    return _CREDENTIALS.sub(r"\1", text)


def is_failure(error: BaseException) -> bool:
    """Whether a computation failed, and was not ended: a panic of a library in Rust is a failure, and no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]

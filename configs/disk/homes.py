"""Home folders: the user's own, and those that `~` and `~name` stand for."""

from __future__ import annotations

import os
from pathlib import Path

from configs.errors import ConfigError


def home() -> Path:
    """The user's home folder.

    Raises:
        ConfigError: HOME is not set, and no user has this process's uid, as in some containers.
    """
    try:
        return Path.home()
    except RuntimeError as error:
        raise ConfigError(
            f"no home folder is known: HOME is not set, and uid {os.getuid()} is no user of this machine",
            "set HOME to a folder that you can write to",
        ) from error


def expanded(path: str | Path) -> Path:
    """A path with `~` or `~name` at its beginning filled in.

    Raises:
        ConfigError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"{path}: no home folder is known for {Path(path).parts[0]}", "write the path without `~`"
        ) from error

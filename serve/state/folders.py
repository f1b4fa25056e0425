"""Where this user's servers leave word of themselves."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from configs.disk.homes import home


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Folder of the state files, `~/.local/state/tuneserve/MACHINE/servers` unless XDG_STATE_HOME says otherwise.

    Machines may share a home folder; each has its own processes and ports.
    """
    states = environ.get("XDG_STATE_HOME") or home() / ".local" / "state"
    return Path(states) / "tuneserve" / platform.node() / "servers"

"""Where this user's servers leave word of themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Folder of the state files, `~/.local/state/tuneserve/servers` unless XDG_STATE_HOME says otherwise."""
    home = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "tuneserve" / "servers"

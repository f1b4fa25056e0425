"""Which adapters came and went since a server started: its names follow, and a restart has the same ones.

One small file for each server beside its state file; the command line writes it, the supervisor reads it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from configs.disk.files import file_bytes, write_atomically
from configs.disk.locks import locked
from configs.errors import ConfigError, TuneserveError
from configs.model.fingerprint import files_fingerprint
from serve.state.folders import state_folder

_CHANGES = TypeAdapter(dict[str, str | None])
_LOADED_WITHIN_S = 60.0
"""A server that has not listed an adapter so long after it was asked to load it does not load it any more."""


def changes(port: int) -> dict[str, str | None]:
    """What was changed since the server on a port started: adapter names, each with the path that vLLM was given.

    None stands for an adapter that was taken out.

    Raises:
        ConfigError: the note is damaged.
    """
    file = _folder(port) / "changes.json"
    try:
        return _CHANGES.validate_json(file_bytes(file))
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise ConfigError(
            f"{file}: the note of adapters that came and went is damaged: {error.errors()[0]['msg']}",
            "remove the file; `tuneserve adapters list` asks the server itself",
        ) from None


def note_change(port: int, name: str, path: str | None) -> None:
    """Notes that an adapter is served under a name from now on, or, with None, is not."""
    folder = _folder(port)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "changes.lock", timeout=30):
        known = {**changes(port), name: path}
        write_atomically(folder / "changes.json", json.dumps(known, ensure_ascii=False) + "\n")


@contextmanager
def being_proved(port: int, name: str) -> Iterator[None]:
    """Marks an adapter as loaded and not proved yet, by a file that this process holds locked.

    A process that is killed meanwhile leaves a mark that nobody holds: `take_out_unproved` finds it.

    Raises:
        TuneserveError: another process loads one of that name.
    """
    mark = _unproved(port) / hashlib.sha256(name.encode()).hexdigest()[:16]
    mark.parent.mkdir(parents=True, exist_ok=True)
    taken = TuneserveError(
        f"another command is loading an adapter called {name} into the server on port {port}",
        "wait for it, or choose another name",
    )
    with locked(mark, taken):
        mark.write_text(name, encoding="utf-8")
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)


def take_out_unproved(port: int, unload: Callable[[str], bool]) -> None:
    """Has adapters taken out of a server whose `adapters load` was killed before it had proved them.

    Args:
        port: the server's.
        unload: takes out the adapter of a name; False where the server does not list it, as while it still loads it.
    """
    for mark in _unproved(port).glob("*"):
        with suppress(OSError), FileLock(mark, timeout=0):  # held, or gone, or not writable: the next look tries again
            age_s = time.time() - mark.stat().st_mtime
            if unload(mark.read_text(encoding="utf-8", errors="replace")) or not 0 <= age_s < _LOADED_WITHIN_S:
                mark.unlink()


def forget_all(port: int) -> None:
    """A new server on a port has none of the adapters that an earlier one had."""
    shutil.rmtree(_folder(port), ignore_errors=True)


def path_of_its_own(adapter: Path) -> str:
    """The path of an adapter, spelled in a way that follows from the adapter's contents: `/` and `/.` lead nowhere.

    vLLM keeps what it has computed of a prompt under the adapter's name and path. An adapter that was trained again in
    its folder and loaded again would be answered for by the old one; under another spelling it is not.
    """
    bits = f"{int(_content(adapter), 16):064b}"
    return str(adapter.absolute()) + "".join("/." if bit == "1" else "/" for bit in bits)


def is_still(path: str) -> bool:
    """Whether the adapter under such a path is the one that it was made for; true of any other path."""
    adapter = Path(path)
    return path == str(adapter) or not adapter.exists() or path == path_of_its_own(adapter)


def _content(adapter: Path) -> str:
    return files_fingerprint([adapter / "adapter_config.json", *sorted(adapter.glob("adapter_model.*"))])[:16]


def _unproved(port: int) -> Path:
    return _folder(port) / "unproved"


def _folder(port: int) -> Path:
    return state_folder().parent / "adapters" / str(port)

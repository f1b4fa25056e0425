"""What an earlier run was trained on, so that a run that goes on from it holds none of that out.

RUN/data/asked.bin holds the digests of `trainer.data.identity` of everything that was asked in training, of the runs
before it too: 16 bytes each, sorted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from configs.disk.files import file_bytes
from configs.errors import DataError
from configs.model.fingerprint import content_hash
from configs.recipe.schema import RunConfig
from configs.run.rundir import RunDir
from configs.terminal.console import shell

FILE = "asked.bin"
_BYTES = 16
_LARGEST = 64 << 20
"""Of a file: four million questions."""


def past_file(config: RunConfig) -> Path | None:
    """The file of the run that this one goes on from; None without one, or where that run has none.

    Raises:
        DataError: it is not what that run wrote, so that some of what was asked may not be in it.
    """
    if config.train.continue_from is None:
        return None
    before = RunDir.open(config.train.continue_from)
    file: Path = before.data / FILE
    if not file.is_file():
        return None
    stage = before.read().stages.get("data")
    written = stage.outputs.get(str(file.relative_to(before.path))) if stage else None
    if written is not None and written.blake3 != content_hash(file):
        raise DataError(
            f"{file}: is not what was written, and says what {before.path} was trained on",
            f"have it made again: `{shell('tuneserve', 'train', before.config_file)}`",
        )
    return file


def asked_before(config: RunConfig) -> frozenset[bytes]:
    """Digests of what was asked in the training of the runs before this one; nothing where that is not known."""
    file = past_file(config)
    data = file_bytes(file, _LARGEST) if file else b""
    return frozenset(data[at : at + _BYTES] for at in range(0, len(data), _BYTES))


def write_asked(digests: Iterable[bytes], file: Path) -> None:
    """Writes the file of a run."""
    file.write_bytes(b"".join(sorted(set(digests))))


def past_warning(config: RunConfig) -> str:
    """What to know before a run goes on from one that does not say what it was trained on; "" where all is well."""
    before = config.train.continue_from
    if before is None or past_file(config) is not None or config.data.eval_split == 0:
        return ""
    return f"{before} does not say what it was trained on: rows that are held out here may be among it"

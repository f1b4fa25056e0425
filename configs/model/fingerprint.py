"""Hashes that identify weights and files by every byte of theirs. Imports no torch.

Weights are hashed with BLAKE3, which takes all cores, and once: the result is kept in the cache folder under what the
file system says of the file.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from configs.cache.entries import forget_old
from configs.cache.folder import private_cache
from configs.disk.files import file_bytes, write_atomically
from configs.model.files import TOKENIZER_FILES, weight_files

_BLOCK = 64 << 20
_KEPT = 4096
_SETTLED_S = 2.0
"""A file that changed less than this ago could change again within one tick of the file system's clock."""


def weights_fingerprint(folder: Path) -> str:
    """A hash of config.json and of every byte of the weights, with the names of their files.

    Raises:
        ConfigError: there are no weights, or files of the index are missing.
    """
    files = weight_files(folder)
    return weights_digest(folder, [(file.name, file.stat().st_size, content_hash(file)) for file in files])


def weights_digest(folder: Path, files: Iterable[tuple[str, int, str]]) -> str:
    """The fingerprint of weights whose files, by name, are known as (name, bytes, BLAKE3); reads config.json alone."""
    digest = hashlib.sha256(file_bytes(folder / "config.json"))
    for name, size, content in files:
        digest.update(f"{name} {size} {content}\n".encode())
    return digest.hexdigest()


def tokenizer_fingerprint(folder: Path) -> str:
    """A hash of what makes token ids of a conversation."""
    return files_fingerprint(prompt_files(folder))


def prompt_files(folder: Path) -> list[Path]:
    """The files of a model by which a conversation becomes token ids: the tokenizer's, and the chat templates'."""
    names = (*TOKENIZER_FILES, "chat_template.jinja", "chat_template.json")
    files = [file for name in names if (file := folder / name).is_file()]
    return files + sorted(folder.glob("additional_chat_templates/*.jinja"))


def files_fingerprint(files: list[Path]) -> str:
    """SHA-256 over names and contents of files, in the order given."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def content_hash(file: Path) -> str:
    """BLAKE3 of a file's content.

    A file is not read again while device, inode, size, and the times of its last change of content and of state are the
    same: no program can set the last of these. Writing through a mapping (mmap) moves them where the page was clean; of
    a file in memory (tmpfs) it never does, so that such a one is always read.
    """
    before = file.stat()
    identity = (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns)
    kept = private_cache("hashes") / hashlib.sha256(repr(identity).encode()).hexdigest()
    with suppress(FileNotFoundError):  # none, or another process has just removed it
        known = kept.read_text(encoding="ascii", errors="replace")
        if len(known) == blake3.digest_size * 2:
            os.utime(kept)
            return known
    hasher = blake3(max_threads=blake3.AUTO)
    with file.open("rb") as handle:
        with suppress(OSError):  # a disk without it, such as one of FUSE
            os.fsync(handle.fileno())
        while block := handle.read(_BLOCK):
            hasher.update(block)
    found = hasher.hexdigest()
    after = file.stat()
    unchanged = (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == identity[2:]
    settled = time.time() - max(after.st_ctime, after.st_mtime) > _SETTLED_S
    if unchanged and settled and not _in_memory(before.st_dev):
        write_atomically(kept, found)
        forget_old(kept.parent, keep=kept, most=_KEPT)
    return found


def _in_memory(device: int) -> bool:
    """Whether a mounted file system lies in memory."""
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()]
    return any(mount[2] == number and mount[mount.index("-") + 1] == "tmpfs" for mount in mounts)

"""A zip archive of somebody else's: only its tables are unpacked, and only when it announces what a data set has."""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from configs.errors import DataError

MOST_MEMBERS = 20_000
MOST_BYTES = 4_000_000_000
"""Of all unpacked tables together."""
LARGEST_RATIO = 200
"""Unpacked to packed bytes of one file: text packs ten to thirty times; a bomb a thousand times."""
FREE_RATIO_BYTES = 1_000_000
"""Files below this may pack as well as they like."""
DEEPEST = 16
_BLOCK = 1 << 20


def unpack(archive: Path, folder: Path, endings: Sequence[str]) -> None:
    """Unpacks the files with these endings; sizes and names are looked at before the first byte is written.

    Raises:
        DataError: damaged, with a password, too much in it, or a name that leads out of `folder`.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if m.filename.lower().endswith(tuple(endings))]
            for member in members:
                _check_name(archive, member)
            _check_sizes(archive, opened.infolist(), members, folder)
            for member in members:
                _copy(opened, member, folder / member.filename)
    # A broken archive shows itself in any of these; a password in a RuntimeError, an unknown method in the next.
    except (
        zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError, ValueError,
        struct.error,
    ) as error:  # fmt: skip
        raise DataError(
            f"{archive}: cannot be unpacked: {error}", "download it again, or unpack it and name its file"
        ) from error


def _check_name(archive: Path, member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    drive = ":" in name.parts[0] if name.parts else True
    leads_out = name.is_absolute() or ".." in name.parts or drive
    too_long = len(name.parts) > DEEPEST or any(len(part.encode()) > 255 for part in name.parts)
    if leads_out or too_long or stat.S_ISLNK(member.external_attr >> 16):
        why = "leads out of its folder" if leads_out else "is too long or too deep" if too_long else "is a link"
        raise DataError(
            f"{archive}: the name {_short(member.filename)} in it {why}", "take the archive from its own source again"
        )


def _check_sizes(
    archive: Path, every: Sequence[zipfile.ZipInfo], members: Sequence[zipfile.ZipInfo], folder: Path
) -> None:
    said = ""
    if len(every) > MOST_MEMBERS:
        said = f"holds {len(every):,} files, at most {MOST_MEMBERS:,} are unpacked"
    total = sum(member.file_size for member in members)
    for member in members:
        if member.file_size > max(FREE_RATIO_BYTES, LARGEST_RATIO * member.compress_size):
            said = said or f"{_short(member.filename)} in it would grow from {member.compress_size:,} bytes to " + (
                f"{member.file_size:,}, as no text does"
            )
    free = shutil.disk_usage(folder).free
    if total > min(MOST_BYTES, free // 2):
        said = said or f"would be {total:,} bytes unpacked; {min(MOST_BYTES, free // 2):,} are taken here"
    if said:
        raise DataError(f"{archive}: {said}; nothing was unpacked", "unpack it yourself if you trust it, name its file")


def _copy(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """One file, and no byte more than the archive announced for it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        out = target.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise zipfile.BadZipFile(f"{_short(member.filename)} stands twice in it, or in one beside it") from error
    left = member.file_size
    with out:
        for block in _blocks(opened, member):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile(f"{_short(member.filename)} is larger than the archive says")
            out.write(block)


def _blocks(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with opened.open(member) as source:
            while block := source.read(_BLOCK):
                yield block
    except OSError as error:  # a damaged stream of bzip2, or a place before the beginning of the file
        raise zipfile.BadZipFile(str(error)) from error


def _short(text: str) -> str:
    return repr(text) if len(text) <= 80 else f"{text[:77]!r}…"
